"""
The feed: one client of the log for all topics of a process, and what it has read but not handed out.

Records younger than `MIN_MESSAGE_LAG_MS` are held back by pausing their partition, so that no other one waits.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.dispatch import Signal

from logpipe_signals import signals
from logpipe_signals.backend import get_consumer_backend
from logpipe_signals.backend.base import Consumer as LogConsumer
from logpipe_signals.backend.base import Gap, Position, Record, Subscription, TopicPartition
from logpipe_signals.conf import settings
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.exceptions import PositionConflict

logger = logging.getLogger(__name__)

Start = Literal["beginning", "end"]


@dataclass(frozen=True, kw_only=True)
class FeedOptions:
    """
    What a process reads.

    group:   Shares the partitions among the processes that name it; None takes all of them alone.
    start:   Where a partition without a position begins.
    restart: Begin every partition there, whatever its position.
    restart_at: Begin every partition at this time instead, in seconds since 1970; 0: no.
    """

    topics: tuple[str, ...]
    group: str | None = None
    start: Start = "beginning"
    restart: bool = False
    restart_at: float = 0.0
    client_options: Mapping[str, Any] | None = None


class Feed:
    """Hands out records in order within each partition."""

    def __init__(
        self, options: FeedOptions, positions: Positions, *, gap_found: Callable[[Gap], None] = lambda gap: None
    ) -> None:
        self.options = options
        self.positions = positions
        self._gap_found = gap_found
        self._client: LogConsumer | None = None
        self._ready: deque[Record] = deque()
        self._held: dict[TopicPartition, _Held] = {}
        self._restarted: set[TopicPartition] = set()
        self._untouched: set[TopicPartition] = set()
        self._to_rewind: set[TopicPartition] = set()
        self._to_store: dict[TopicPartition, Position | None] = {}

    @property
    def client(self) -> LogConsumer:
        """Return the backend's consumer, made at its first use."""
        if self._client is None:
            self._client = get_consumer_backend(self._subscription())
        return self._client

    @property
    def idle_seconds(self) -> float:
        """Return after how long without a record an iteration ends (the client option `consumer_timeout_ms`)."""
        return float((self.options.client_options or {}).get("consumer_timeout_ms", 1000)) / 1000

    @property
    def is_holding(self) -> bool:
        """Tell whether there are records that were read and not handed out."""
        return bool(self._ready or self._held)

    def begins_anew(self, partition: TopicPartition) -> bool:
        """Tell whether a partition was restarted at its beginning, and nothing of it was handed out yet."""
        return partition in self._untouched

    def take(self, *, max_records: int, timeout_seconds: float, read_ahead: int = 0) -> list[Record]:
        """
        Return the next records, oldest first within each partition; empty when none came in time.

        Args:
            read_ahead: How many to ask the log for, where that is more.
        """
        self._seek_rewound()
        self._store_starts()
        self._release()
        if not self._ready:
            self._poll(max(max_records, read_ahead), timeout_seconds)
            self._release()
        records = [self._ready.popleft() for _ in range(min(max_records, len(self._ready)))]
        if self._untouched:
            self._untouched.difference_update({record.topic_partition for record in records})
        return records

    def give_back(self, records: Sequence[Record]) -> None:
        """Hand these out again first."""
        self._ready.extendleft(reversed(records))

    def rewind(self, partition: TopicPartition) -> None:
        """Drop what was read of a partition; the next `take` goes on from the position that is stored by then."""
        self._drop([partition])
        self._to_rewind.add(partition)

    def close(self) -> None:
        """Leave the group; the next use joins it again."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._ready.clear()
        self._held.clear()
        self._to_rewind.clear()

    # --- assignment ---------------------------------------------------------------------------------------------------

    def _subscription(self) -> Subscription:
        return Subscription(
            topics=self.options.topics,
            group=self.options.group,
            read_positions=self._read_positions,
            assigned=self._assigned,
            revoked=self._revoked,
            gap_found=self._gap_found,
            peek_positions=self._peek_positions,
            mark=self._mark,
            start=self.options.start,
            client_options=self.options.client_options or {},
        )

    def _read_positions(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Position | None]:
        """Tell the client where to begin; a restart hides the stored positions once."""
        found = dict(self.positions.read(partitions))
        if self.options.restart and (fresh := set(partitions) - self._restarted):
            found.update(self._starts(sorted(fresh)))
        return found

    def _starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Position | None]:
        if not self.options.restart_at:
            starts: dict[TopicPartition, Position | None] = dict.fromkeys(partitions)
            if self.options.start == "end":
                self._to_store.update(starts)
            else:
                self._untouched.update(partitions)
            return starts
        starts = {**self.client.positions_at(partitions, int(self.options.restart_at * 1000))}
        self._to_store.update(starts)
        return starts

    def _peek_positions(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Position | None]:
        """Tell where the group stands in what others may own; a restart hides what this process will begin anew."""
        found = dict(self.positions.store.read(self.positions.group, partitions))
        if self.options.restart:
            found.update(dict.fromkeys(set(partitions) - self._restarted))
        return found

    def _mark(self, partition: TopicPartition, position: Position) -> bool:
        """Move a position without a record, once all that was read of the partition is done with."""
        if self.options.group is None:
            return True  # Who shares with nobody reads the mark off the log again; and a rehearsal writes nothing.
        if partition in self._held or any(record.topic_partition == partition for record in self._ready):
            return False
        try:
            self.positions.commit(partition, position)
        except PositionConflict:
            self.rewind(partition)
            return False
        return True

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        # Only now has a restart happened: the log may have been away since the positions were asked for.
        self._restarted.update(partitions)
        self._announce(signals.partitions_assigned, partitions)

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._drop(partitions)
        self._forget_starts(partitions)
        self.positions.forget(partitions)
        self._announce(signals.partitions_revoked, partitions)

    def _forget_starts(self, partitions: Sequence[TopicPartition]) -> None:
        """A start that was not stored yet is not stored later, when others have read on; the restart happens anew."""
        for partition in self._to_store.keys() & set(partitions):
            del self._to_store[partition]
            self._restarted.discard(partition)
        # Nothing was handed out from the beginning yet, and the stored position is still the old one.
        self._restarted -= self._untouched & set(partitions)
        self._untouched.difference_update(partitions)

    def _announce(self, signal: Signal, partitions: Sequence[TopicPartition]) -> None:
        signals.announce(signal, None, group=self.positions.group, partitions=list(partitions))

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        gone = set(partitions)
        self._ready = deque(r for r in self._ready if r.topic_partition not in gone)
        held = [p for p in gone if self._held.pop(p, None) is not None]
        if held and self._client is not None:
            self._client.resume([p for p in held if p in self._client.assignment()])

    def _seek_rewound(self) -> None:
        mine = sorted(self._to_rewind & self.client.assignment()) if self._to_rewind else []
        if mine:
            for partition, position in self.positions.read(mine).items():
                self.client.seek(partition, position)
        self._to_rewind.clear()

    def _store_starts(self) -> None:
        """A restart at a time, or at the end, moves the position there, so that it holds when no record comes."""
        mine = sorted(self._to_store.keys() & self.client.assignment()) if self._to_store else []
        if not mine or self.options.group is None:
            return
        ends = self.client.end_positions([partition for partition in mine if self._to_store[partition] is None])
        for partition in mine:
            start = self._to_store[partition]
            try:
                self.positions.commit(partition, ends[partition] if start is None else start)
            except PositionConflict:
                self.rewind(partition)
            del self._to_store[partition]

    # --- polling ------------------------------------------------------------------------------------------------------

    def _poll(self, max_records: int, timeout_seconds: float) -> None:
        next_ripe = min((held.ripe_at() for held in self._held.values()), default=None)
        if next_ripe is not None:
            timeout_seconds = max(0.0, min(timeout_seconds, next_ripe - time.monotonic()))
        records = self.client.poll(max_records=max_records, timeout_seconds=timeout_seconds)
        lag_seconds = settings.MIN_MESSAGE_LAG_MS / 1000
        if lag_seconds <= 0:
            self._ready.extend(records)
            return
        for record in records:
            self._hold_if_young(record, lag_seconds)

    def _hold_if_young(self, record: Record, lag_seconds: float) -> None:
        now = time.monotonic()
        age_seconds = time.time() - record.timestamp / 1000 if record.timestamp and record.timestamp > 0 else 0.0
        # Never longer than the lag: the publisher's clock may be ahead, and this one may be set back.
        ripe_at = now + lag_seconds - max(0.0, age_seconds)
        held = self._held.get(record.topic_partition)
        if held is not None:
            held.add(record, ripe_at)
        elif ripe_at <= now:
            self._ready.append(record)
        else:
            self._held[record.topic_partition] = _Held(record, ripe_at)
            self.client.pause([record.topic_partition])

    def _release(self) -> None:
        now = time.monotonic()
        for partition, held in list(self._held.items()):
            self._ready.extend(held.ripe(now))
            if not held.records:
                del self._held[partition]
                self.client.resume([partition])


class _Held:
    """The records of a partition that are too young."""

    def __init__(self, record: Record, ripe_at: float) -> None:
        self.records: deque[tuple[float, Record]] = deque([(ripe_at, record)])

    def add(self, record: Record, ripe_at: float) -> None:
        self.records.append((ripe_at, record))

    def ripe_at(self) -> float:
        return self.records[0][0]

    def ripe(self, now: float) -> Iterable[Record]:
        while self.records and self.records[0][0] <= now:
            yield self.records.popleft()[1]
