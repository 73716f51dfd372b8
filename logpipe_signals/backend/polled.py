"""A consumer of a log that is looked at rather than listened to: the embedded log and the one in memory."""

from __future__ import annotations

import abc
import threading
from collections.abc import Collection, Mapping, Sequence

from logpipe_signals.backend.base import Consumer, Gap, Position, Record, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.sharing import Claims


class Bell:
    """Wakes this process's readers when something was written in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0

    def ring(self) -> None:
        """Wake everybody who waits."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    @property
    def rings(self) -> int:
        """Return how often it rang: what to give to `wait`."""
        return self._rings

    def wait(self, rings: int, timeout_seconds: float) -> None:
        """Return when it rang again since `rings`, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings != rings, timeout_seconds)

    def reset_after_fork(self) -> None:
        """A lock that another thread held at the fork is never released in the child: take a new one."""
        self._changed = threading.Condition()


class PolledConsumer(Consumer):
    """Keeps its positions itself and shares the topics' partitions by `Claims`."""

    supports_groups = True
    bell: Bell

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(subscription)
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._claims = None if subscription.group is None else self.make_claims(subscription.group)
        self._turn = 0
        self._closed = False

    # --- what a log has to say --------------------------------------------------------------------------------------

    @abc.abstractmethod
    def make_claims(self, group: str) -> Claims:
        """Return this consumer's membership of a group."""

    @abc.abstractmethod
    def ends(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return every partition of these topics and the offset its next record will have."""

    @abc.abstractmethod
    def first_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record there still is; the end where there is none."""

    @abc.abstractmethod
    def offsets_at(self, partitions: Collection[TopicPartition], milliseconds: int) -> dict[TopicPartition, int]:
        """Return the offset of the first record of this time or later; the end where there is none."""

    @abc.abstractmethod
    def fetch(self, ranges: Mapping[TopicPartition, range]) -> dict[TopicPartition, list[Record]]:
        """Return the records there are at these offsets."""

    @abc.abstractmethod
    def pause_seconds(self) -> float:
        """Return how long to wait, unless the bell rings, before looking again."""

    # --- the contract -----------------------------------------------------------------------------------------------

    def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        deadline = Deadline(timeout_seconds)
        while True:
            rings = self.bell.rings
            records = self._look(max_records)
            if records or deadline.passed:
                return records
            self.bell.wait(rings, min(deadline.remaining_seconds, self.pause_seconds()))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def seek(self, topic_partition: TopicPartition, position: Position | None) -> None:
        if topic_partition in self._positions:
            self._forget_buffered({topic_partition})
            self._positions[topic_partition] = self._starts({topic_partition: position})[topic_partition]

    def end_positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        ends = self.ends({partition.topic for partition in partitions})
        return {partition: ends.get(partition, 0) for partition in partitions}

    def positions_at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, Position]:
        found = self.offsets_at(partitions, milliseconds)
        return {partition: found.get(partition, 0) for partition in partitions}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(self._positions.keys() & set(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._drop(self.assignment())
        finally:
            if self._claims is not None:
                self._claims.leave()

    # --- one look ---------------------------------------------------------------------------------------------------

    def _look(self, max_records: int) -> list[Record]:
        ends = self.ends(self.subscription.topics)
        self._share(ends)
        waiting = {
            partition: (self._positions[partition], ends[partition])
            for partition in sorted(self._positions.keys() & ends.keys() - self._paused)
            if self._positions[partition] != ends[partition]
        }
        waiting = self._within_the_log(waiting)
        return self._read(self._portions(waiting, max_records)) if waiting else []

    def _read(self, ranges: Mapping[TopicPartition, range]) -> list[Record]:
        fetched = self.fetch(ranges)
        for partition, records in fetched.items():
            self._move_behind(partition, records)
        self._go_on_at_the_start([partition for partition in ranges if not fetched.get(partition)])
        return [record for records in fetched.values() for record in records]

    def _move_behind(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        if not records:
            return
        expected, found = self._positions[partition], int(records[0].offset)
        self._positions[partition] = int(records[-1].offset) + 1
        if found != expected:
            self._report_gap(partition, expected, found)

    def _portions(
        self, waiting: Mapping[TopicPartition, tuple[int, int]], max_records: int
    ) -> dict[TopicPartition, range]:
        """Give each partition the same part of a poll, and what one does not need to the others."""
        self._turn += 1
        by_length = sorted(waiting, key=lambda partition: waiting[partition][1] - waiting[partition][0])
        turned = _rotated(by_length, self._turn) if max_records < len(by_length) else by_length
        portions, left = {}, max_records
        for index, partition in enumerate(turned):
            start, end = waiting[partition]
            count = min(end - start, -(-left // (len(turned) - index)))
            left -= count
            if count:
                portions[partition] = range(start, start + count)
        return portions

    # --- gaps: records that the log dropped before they were read ---------------------------------------------------

    def _within_the_log(self, waiting: dict[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, tuple[int, int]]:
        beyond = [partition for partition, (start, end) in waiting.items() if start > end]
        self._go_on_at_the_start(beyond)
        return {partition: (self._positions[partition], end) for partition, (_, end) in waiting.items()}

    def _go_on_at_the_start(self, partitions: Collection[TopicPartition]) -> None:
        for partition, first in self.first_offsets(partitions).items() if partitions else ():
            expected, self._positions[partition] = self._positions[partition], first
            if expected != first:
                self._report_gap(partition, expected, first)

    def _report_gap(self, partition: TopicPartition, expected: int, found: int) -> None:
        self.subscription.gap_found(Gap(topic_partition=partition, expected=expected, found=found))

    # --- which partitions -------------------------------------------------------------------------------------------

    def _share(self, ends: Mapping[TopicPartition, int]) -> None:
        claims = self._claims
        if claims is None:
            self._adopt(ends.keys() - self._positions.keys())
        elif claims.due():
            lost, surplus = claims.look(ends.keys())
            self._drop(lost | surplus)
            claims.release(surplus)
            claims.take(ends.keys())
            self._adopt(claims.held - self._positions.keys())

    def _adopt(self, partitions: Collection[TopicPartition]) -> None:
        if not partitions:
            return
        ordered = sorted(partitions)
        stored = self.subscription.read_positions(ordered)
        self._positions.update(self._starts({partition: stored.get(partition) for partition in ordered}))
        self.subscription.assigned(ordered)

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        dropped = sorted(self._positions.keys() & set(partitions))
        if not dropped:
            return
        self._forget_buffered(dropped)
        try:
            self.subscription.revoked(dropped)
        finally:
            for partition in dropped:
                self._positions.pop(partition, None)
                self._paused.discard(partition)

    def _starts(self, stored: Mapping[TopicPartition, Position | None]) -> dict[TopicPartition, int]:
        new = [partition for partition, position in stored.items() if position is None]
        fresh: Mapping[TopicPartition, int] = {}
        if new and self.subscription.start == "end":
            fresh = self.ends({partition.topic for partition in new})
        elif new:
            fresh = self.first_offsets(new)
        return {
            partition: fresh.get(partition, 0) if position is None else int(position)
            for partition, position in stored.items()
        }


def _rotated(partitions: Sequence[TopicPartition], turns: int) -> list[TopicPartition]:
    turn = turns % len(partitions)
    return [*partitions[turn:], *partitions[:turn]]
