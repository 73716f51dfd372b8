"""Whether everything that stood on the log when a run began has been read."""

from __future__ import annotations

import time

from logpipe_signals.backend.base import Position, TopicPartition
from logpipe_signals.consuming.feed import Feed

QUIET_POLLS = 3
QUIET_SECONDS = 5.0
UNASSIGNED_SECONDS = 30.0
"""A group that rebalances, or a busy broker, takes its time: an early end would look like the end of the topic."""


class CaughtUp:
    """
    Compares positions with the ends that the partitions had when this process first held them.

    A log may end in something that is no record (the marker of a transaction), so that a position never reaches the
    end: some polls in a row without a record, over some seconds, count as caught up too.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._ends: dict[TopicPartition, Position] = {}
        self._quiet_polls = 0
        self._began_at = self._quiet_since = time.monotonic()

    def polled(self, records: int) -> None:
        """Take note of a poll."""
        self._quiet_polls = 0 if records else self._quiet_polls + 1
        if records:
            self._quiet_since = time.monotonic()
        assigned = self._feed.client.assignment()
        new = [partition for partition in assigned if partition not in self._ends]
        if new:
            self._ends.update(self._feed.client.end_positions(new))

    def reached(self) -> bool:
        """Tell whether there is nothing left to wait for."""
        if self._feed.is_holding:
            return False
        if not self._ends:
            return time.monotonic() - self._began_at >= UNASSIGNED_SECONDS
        mine = self._feed.client.assignment()
        behind = [p for p, end in self._ends.items() if p in mine and not self._is_at(p, end)]
        return not behind or self._is_quiet()

    def _is_quiet(self) -> bool:
        return self._quiet_polls >= QUIET_POLLS and time.monotonic() - self._quiet_since >= QUIET_SECONDS

    def _is_at(self, partition: TopicPartition, end: Position) -> bool:
        # Of one that begins anew the stored position is the old one, and no sign of what was read.
        position = None if self._feed.begins_anew(partition) else self._feed.positions.known(partition)
        return self._feed.client.has_reached(partition, position, end)
