"""A shard that is being read: where, what of it waits to be handed out, and when it may be asked again."""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future

from logpipe_signals.backend import clock
from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.backend.kinesis import errors
from logpipe_signals.backend.kinesis.fetching import Fetched, Request
from logpipe_signals.backend.kinesis.limits import READS_A_SECOND
from logpipe_signals.backend.kinesis.positions import SHARD_END, at_time
from logpipe_signals.backend.kinesis.queues import pause_seconds

logger = logging.getLogger(__name__)

READ_EVERY_SECONDS = 1.02 / READS_A_SECOND
"""No more often than the service takes; a little less, for the clocks' sake."""
IDLE_READ_EVERY_SECONDS = 0.5
"""Where everything was read: leaves the shard's quota to other groups."""
LONGEST_BUFFER = 5_000


class ShardReader:
    """Reads one shard, in one read at a time. A read that fails costs time and nothing else."""

    def __init__(self, partition: TopicPartition, position: str, *, iterator: str | None = None) -> None:
        self.partition = partition
        self.is_paused = False
        self.behind_milliseconds: int | None = None
        self.error: Exception | None = None
        self._goal: tuple[int, str | None] | None = None
        self._next_read_at = clock.seconds()
        self.reset(position, iterator=iterator)

    def reset(self, position: str, *, iterator: str | None = None) -> None:
        """Go on at a position, and forget what was read."""
        self.position = position
        self.has_ended = position == SHARD_END
        self.buffer: deque[Record] = deque()
        self.buffered_bytes = 0
        self.future: Future[Fetched] | None = None
        self._asked_at = 0.0
        self._failures = 0
        self._iterator = iterator
        self._is_checked = iterator is not None
        self._position_lost = False
        self.at_tip_at: float | None = None

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Tell whether the shard has ended and everything of it was handed out."""
        return self.has_ended and not self.buffer

    @property
    def wants_read(self) -> bool:
        """Tell whether a read may be started at some time soon."""
        idle = self.future is None and not self.has_ended and not self.is_paused
        return idle and len(self.buffer) < LONGEST_BUFFER

    @property
    def seconds_to_read(self) -> float:
        """Return how long the next read has to wait."""
        return self._next_read_at - clock.seconds()

    def request(self, limit: int) -> Request:
        """Return what to read next."""
        self._asked_at = clock.seconds()
        self._next_read_at = self._asked_at + READ_EVERY_SECONDS
        return Request(
            partition=self.partition,
            position=self.position,
            iterator=self._iterator,
            is_checked=self._is_checked,
            position_lost=self._position_lost,
            limit=limit,
        )

    def take_in(self, fetched: Fetched) -> None:
        """Take what a read brought."""
        self.error, self._failures = None, 0
        self._iterator, self.has_ended = fetched.next_iterator, fetched.next_iterator is None
        self._is_checked, self._position_lost = fetched.is_checked, fetched.position_lost
        self.behind_milliseconds = fetched.behind_milliseconds
        if fetched.records:
            self.buffer.extend(fetched.records)
            self.buffered_bytes += fetched.size
            self.position = str(fetched.records[-1].offset)
        at_tip = not fetched.behind_milliseconds
        self.at_tip_at = self._asked_at if at_tip else None
        if at_tip and not fetched.records:
            self._next_read_at = self._asked_at + IDLE_READ_EVERY_SECONDS
        self._note_goal()

    def failed(self, error: Exception) -> None:
        """Wait the longer the more reads failed. The iterator is made anew: it may be what was wrong."""
        self._failures += 1
        self.error = error
        self._next_read_at = clock.seconds() + max(READ_EVERY_SECONDS, pause_seconds(self._failures))
        if not errors.is_throttled(errors.code_of(error)):
            self._iterator = None
            self._is_checked = False
        logger.warning("Shard %s/%s could not be read, trying again: %s", *self.partition, error)

    def hand_out(self, count: int) -> list[Record]:
        """Return the next records."""
        records = [self.buffer.popleft() for _ in range(min(count, len(self.buffer)))]
        if records:
            self.buffered_bytes -= sum(len(record.value or b"") for record in records)
        return records

    # --- where it ends ----------------------------------------------------------------------------------------------

    def end(self) -> str:
        """Return the position behind the last record as of now: the very record where it is known, else the time."""
        if self.at_tip_at is not None and clock.seconds() - self.at_tip_at < 2 * IDLE_READ_EVERY_SECONDS:
            return self.position
        milliseconds = int(time.time() * 1000)
        self._goal = (milliseconds, None)
        return at_time(milliseconds)

    def reached_at(self, milliseconds: int) -> str | None:
        """Return the position at which everything up to a time was read; None: not yet."""
        return self._goal[1] if self._goal is not None and self._goal[0] == milliseconds else None

    def _note_goal(self) -> None:
        if self._goal is None or self._goal[1] is not None or self.behind_milliseconds is None:
            return
        age_seconds = clock.seconds() - self._asked_at
        if (time.time() - age_seconds) * 1000 - self.behind_milliseconds >= self._goal[0] or self.has_ended:
            self._goal = (self._goal[0], self.position)
