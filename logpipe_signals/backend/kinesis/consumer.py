"""Reading from Kinesis: the shards this process holds, each by reads of its own, in threads, one read at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.core.checks import CheckMessage

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Gap, Lag, Position, Record, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.kinesis import config, errors, leavings
from logpipe_signals.backend.kinesis.behind import lag_at
from logpipe_signals.backend.kinesis.claims import ShardClaims
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.backend.kinesis.describing import describe
from logpipe_signals.backend.kinesis.family import Family
from logpipe_signals.backend.kinesis.fetching import fetch, latest_iterator
from logpipe_signals.backend.kinesis.limits import MOST_RECORDS_A_READ
from logpipe_signals.backend.kinesis.positions import BEGINNING, SHARD_END, at_time, has_passed, time_of
from logpipe_signals.backend.kinesis.reading import ShardReader
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable

logger = logging.getLogger(__name__)

READS_AT_ONCE = 8
MOST_BUFFERED_BYTES = 32 * 1024 * 1024
"""While more than this waits to be handed out, nothing further is read."""
LONGEST_WAIT_SECONDS = 1.0


class Consumer(base.Consumer):
    """
    Reads streams, sharing their shards with the group by leases in the project's database.

    A shard is read when all shards that it came of are finished; one that is closed ends, its position becomes
    SHARD_END, and its lease goes back. A failed read never costs a shard.
    """

    supports_groups = True
    is_remote = True

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(subscription)
        self._client = shared_client()
        self._from_the_end = subscription.start == "end" or settings.KINESIS_SHARD_ITERATOR_TYPE == "LATEST"
        self._family = Family(self._client, subscription, from_the_end=self._from_the_end)
        self._claims = None if subscription.group is None else ShardClaims(subscription.group, subscription.topics)
        self._readers: dict[TopicPartition, ShardReader] = {}
        self._threads = ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="logpipe-kinesis-reader")
        self._something_came = threading.Event()
        self._next_clean_up = Deadline(0)
        self._turn = 0
        self._closed = False

    # --- the contract -----------------------------------------------------------------------------------------------

    def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        deadline = Deadline(timeout_seconds)
        while True:
            self._something_came.clear()
            self._take_in()
            self._finish()
            self._share()
            records = self._hand_out(max_records)
            self._start_reads()
            if records:
                return records
            if deadline.passed:
                self._raise_if_away()
                return []
            self._something_came.wait(min(deadline.remaining_seconds, self._seconds_to_next()))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._readers)

    def seek(self, topic_partition: TopicPartition, position: Position | None) -> None:
        if topic_partition in self._readers:
            self._forget_buffered({topic_partition})
            start, iterator = self._start_of(topic_partition, position)
            self._readers[topic_partition].reset(start, iterator=iterator)

    def end_positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        now = at_time(int(time.time() * 1000))
        return {each: self._readers[each].end() if each in self._readers else now for each in partitions}

    def positions_at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, Position]:
        return dict.fromkeys(partitions, at_time(milliseconds))

    def has_reached(self, topic_partition: TopicPartition, position: Position | None, end: Position) -> bool:
        here, wanted = str(position or BEGINNING), str(end)
        if here in (wanted, SHARD_END):
            return True
        milliseconds = time_of(wanted)
        if milliseconds is None:
            return has_passed(here, wanted)
        reader = self._readers.get(topic_partition)
        reached = reader.reached_at(milliseconds) if reader is not None else None
        return reached is not None and (here == reached or has_passed(here, reached))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._set_paused(partitions, is_paused=True)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._set_paused(partitions, is_paused=False)

    def position_after(self, record: Record) -> Position:
        return record.offset

    def lag_milliseconds(self) -> dict[TopicPartition, int]:
        """Return how far behind the newest record each shard's last read was, by the service's own account."""
        return {
            partition: reader.behind_milliseconds
            for partition, reader in self._readers.items()
            if reader.behind_milliseconds is not None
        }

    def lag_of(self, positions: Mapping[TopicPartition, Position | None]) -> dict[TopicPartition, Lag]:
        asked = {
            each: self._threads.submit(lag_at, self._client, each, position) for each, position in positions.items()
        }
        found = {each: future.result() for each, future in asked.items()}
        return {each: lag for each, lag in found.items() if lag is not None}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        try:
            self._drop(self.assignment())
        finally:
            self._leave()

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        return describe(topics, timeout_seconds=timeout_seconds)

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return config.check_consumer()

    # --- reads ------------------------------------------------------------------------------------------------------

    def _start_reads(self) -> None:
        if sum(reader.buffered_bytes for reader in self._readers.values()) > MOST_BUFFERED_BYTES:
            return
        limit = max(1, min(settings.KINESIS_FETCH_LIMIT, MOST_RECORDS_A_READ))
        for reader in self._readers.values():
            if reader.wants_read and reader.seconds_to_read <= 0:
                reader.future = self._threads.submit(fetch, self._client, reader.request(limit))
                reader.future.add_done_callback(lambda future: self._something_came.set())

    def _take_in(self) -> None:
        for reader in self._readers.values():
            future = reader.future
            if future is None or not future.done():
                continue
            reader.future = None
            error = future.exception()
            if error is None:
                self._report_gap(reader, future.result().gap_up_to)
                reader.take_in(future.result())
            elif isinstance(error, errors.SERVICE_ERRORS):
                reader.failed(error)
            else:
                raise error

    def _report_gap(self, reader: ShardReader, found: str | None) -> None:
        if found is not None:
            self.subscription.gap_found(Gap(topic_partition=reader.partition, expected=reader.position, found=found))

    def _hand_out(self, max_records: int) -> list[Record]:
        """Give each shard the same part of a poll, and what one does not need to the others."""
        self._turn += 1
        waiting = [reader for reader in self._readers.values() if reader.buffer and not reader.is_paused]
        turn = self._turn % len(waiting) if waiting else 0
        waiting = waiting[turn:] + waiting[:turn]
        if len(waiting) <= max_records:
            waiting.sort(key=lambda reader: len(reader.buffer))
        records: list[Record] = []
        for index, reader in enumerate(waiting):
            records += reader.hand_out(-(-(max_records - len(records)) // (len(waiting) - index)))
        return records

    def _seconds_to_next(self) -> float:
        next_reads = [reader.seconds_to_read for reader in self._readers.values() if reader.wants_read]
        if any(reader.is_done for reader in self._readers.values()):
            next_reads.append(0.1)
        if self._claims is not None and self._claims.due():
            next_reads.append(0.05)
        return max(0.005, min([LONGEST_WAIT_SECONDS, *next_reads]))

    def _raise_if_away(self) -> None:
        failures = [reader.error for reader in self._readers.values()]
        if failures and all(error is not None for error in failures):
            raise errors.unavailable("reading", failures[0] or "") from failures[0]

    def _set_paused(self, partitions: Sequence[TopicPartition], *, is_paused: bool) -> None:
        for partition in partitions:
            if partition in self._readers:
                self._readers[partition].is_paused = is_paused

    # --- which shards -----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Give up shards that have ended, once everything that was handed out of them is done with."""
        ended = [partition for partition, reader in self._readers.items() if reader.is_done]
        done = [partition for partition in ended if self.subscription.mark(partition, SHARD_END)]
        if not done:
            return
        self._family.finished(done)
        self._drop(done)
        if self._claims is not None:
            self._claims.release(done)
            self._claims.look_now()

    def _share(self) -> None:
        changed = self._family.look(self._readers.keys())
        claims = self._claims
        if claims is None:
            if changed:
                self._adopt(self._family.readable(self._readers.keys()) - self._readers.keys())
            return
        if claims.due():
            readable = self._family.readable(self._readers.keys())
            lost, surplus = claims.look(readable)
            self._drop(lost | surplus)
            claims.release(surplus)
            claims.take(readable)
            self._forget_gone(claims)
        self._adopt(claims.held - self._readers.keys())

    def _forget_gone(self, claims: ShardClaims) -> None:
        if self._next_clean_up.passed:
            self._next_clean_up = Deadline(leavings.LOOK_EVERY_SECONDS)
            leavings.forget_gone(str(self.subscription.group), self._family.shards, claims)

    def _adopt(self, partitions: Collection[TopicPartition]) -> None:
        if not partitions:
            return
        ordered = sorted(partitions)
        stored = self.subscription.read_positions(ordered)
        for partition in ordered:
            start, iterator = self._start_of(partition, stored.get(partition))
            self._readers[partition] = ShardReader(partition, start, iterator=iterator)
        self.subscription.assigned(ordered)

    def _start_of(self, partition: TopicPartition, stored: Position | None) -> tuple[str, str | None]:
        if stored is not None:
            return str(stored), None
        for gap in self._family.lost_before(partition):
            self.subscription.gap_found(gap)
        if not self._from_the_end or self._family.is_descendant(partition):
            return BEGINNING, None
        return self._start_at_the_end(partition)

    def _start_at_the_end(self, partition: TopicPartition) -> tuple[str, str | None]:
        """Begin where the shard ends now; the stored time lets whoever reads it next begin there too."""
        start = at_time(int(time.time() * 1000))
        try:
            iterator = latest_iterator(self._client, partition)
        except errors.SERVICE_ERRORS as error:
            raise errors.unavailable(f"the end of shard {partition.partition}", error) from error
        self.subscription.mark(partition, start)
        return start, iterator

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        dropped = sorted(self._readers.keys() & set(partitions))
        if not dropped:
            return
        self._forget_buffered(dropped)
        try:
            self.subscription.revoked(dropped)
        finally:
            for partition in dropped:
                self._readers.pop(partition, None)

    def _leave(self) -> None:
        if self._claims is None:
            return
        try:
            self._claims.leave()
        except BackendUnavailable as error:
            logger.warning("A consumer left its group unannounced; its shards are free when its leases end: %s", error)
