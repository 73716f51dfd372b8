"""The loop: poll once for all topics, apply each partition's records, and go on until told to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.db import close_old_connections

from logpipe_signals import signals
from logpipe_signals.backend.base import Position, Record, TopicPartition
from logpipe_signals.conf import settings
from logpipe_signals.consuming.apply import Applier
from logpipe_signals.consuming.batch import Batch, Item
from logpipe_signals.consuming.caught_up import CaughtUp
from logpipe_signals.consuming.feed import Feed
from logpipe_signals.consuming.pace import Pace
from logpipe_signals.consuming.reports import BatchReport
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.transients import is_transient
from logpipe_signals.exceptions import BackendUnavailable, MissingTopicError

logger = logging.getLogger(__name__)

LONGEST_POLL_SECONDS = 1.0
OUTAGE_PAUSE_SECONDS = 1.0
OUTAGE_TOLD_SECONDS = 60.0
"""How often the same outage is told again."""
CONFLICT_PAUSE_SECONDS = 0.1
LOG_COMMIT_SECONDS = 5.0
IDLE_RENEWAL_SECONDS = 30.0


class AppliesBatches(Protocol):
    """What turns batches into rows: an `Applier`, or a rehearsal."""

    def apply(self, batch: Batch) -> BatchReport: ...


@dataclass(kw_only=True)
class Tally:
    """How many records a run saw, by what became of them."""

    handled: int = 0
    applied: int = 0
    failed: int = 0
    stale: int = 0
    parked: int = 0

    def add(self, report: BatchReport) -> None:
        """Count a batch."""
        self.handled += report.handled
        self.applied += len(report.applied)
        self.failed += len(report.failed)
        self.stale += len(report.stale)
        self.parked += len(report.parked)


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """
    When a run ends, and how much it does at once.

    limit:           Ends after so many applied records; 0: no limit.
    max_records:     Ends after so many records, whatever became of them; 0: no limit.
    end_when_idle:   Ends when no record came for the feed's `consumer_timeout_ms`.
    until_caught_up: Ends when what stood on the log at the start is done.
    not_before:      Passes over records older than this, in seconds since 1970.
    endure:          Waits for a log or a topic that is away, instead of raising.
    beat:            Called at every turn, a few times a second at most: for a liveness probe.
    """

    batch_size: int | None = None
    limit: int = 0
    max_records: int = 0
    end_when_idle: bool = False
    until_caught_up: bool = False
    not_before: float = 0.0
    endure: bool = False
    beat: Callable[[], None] = lambda: None


class Loop:
    """Runs a feed through its topics' routes."""

    def __init__(
        self,
        feed: Feed,
        routes: Mapping[str, Routes],
        options: LoopOptions,
        *,
        stop: Stop,
        applier: AppliesBatches | None = None,
    ) -> None:
        for topic_routes in routes.values():
            topic_routes.check()
        self._outage, self._outage_told_at = "", 0.0
        self.feed = feed
        self.routes = routes
        self.options = options
        self.stop = stop
        self.tally = Tally()
        self.applier = applier or Applier(feed.positions, stopped=lambda: stop.requested, pause=stop.pause)
        self._pace = Pace(options.batch_size or settings.CONSUMER_BATCH_SIZE)
        self._caught_up = CaughtUp(feed) if options.until_caught_up else None
        self._last_record_at = self._renewed_at = self._told_at = time.monotonic()
        self._to_tell: dict[TopicPartition, Position] = {}

    def run(self) -> Tally:
        """Go on until there is a reason to end."""
        try:
            while not self._ended():
                self.options.beat()
                self._turn()
        finally:
            self._tell_log(now=True)
        return self.tally

    def _ended(self) -> bool:
        options, tally = self.options, self.tally
        if self.stop.requested:
            return True
        if options.limit and tally.applied >= options.limit:
            return True
        if options.max_records and tally.handled >= options.max_records:
            return True
        if options.end_when_idle and not self.feed.is_holding:
            return time.monotonic() - self._last_record_at >= self.feed.idle_seconds
        return self._caught_up is not None and self._caught_up.reached()

    def _turn(self) -> None:
        records = self._take()
        if records:
            self._apply_all(records)
            self._last_record_at = time.monotonic()
        else:
            self._renew_connections()
        self._tell_log()

    # --- reading ------------------------------------------------------------------------------------------------------

    def _take(self) -> list[Record]:
        timeout = min(LONGEST_POLL_SECONDS, self.feed.idle_seconds if self.options.end_when_idle else 60.0)
        try:
            records = self.feed.take(max_records=self._wanted(), timeout_seconds=timeout)
            if self._caught_up is not None:
                self._note_poll(self._caught_up, records)
            self._outage = ""
            return records
        except (BackendUnavailable, MissingTopicError) as error:
            if not self.options.endure:
                raise
            self._tell_outage(f"The log cannot be read now, trying again: {error}")
            signals.announce(signals.log_lost, None, side="consumer", error=error)
        except Exception as error:
            if not (self.options.endure and is_transient(error)):
                raise
            self._tell_outage(f"The database cannot be reached now, trying again: {type(error).__name__}")
            close_old_connections()
        self.stop.pause(OUTAGE_PAUSE_SECONDS)
        return []

    def _note_poll(self, caught_up: CaughtUp, records: Sequence[Record]) -> None:
        """Asks the log for its ends. Where it does not answer, what is in hand is not let go of."""
        try:
            caught_up.polled(len(records))
        except BaseException:
            self.feed.give_back(records)
            raise

    def _tell_outage(self, text: str) -> None:
        """Log what is away; the same once a minute, however often it was tried meanwhile."""
        now = time.monotonic()
        if text != self._outage or now - self._outage_told_at >= OUTAGE_TOLD_SECONDS:
            self._outage, self._outage_told_at = text, now
            logger.warning("%s", text)

    def _wanted(self) -> int:
        wanted = self._pace.size
        if self.options.limit:
            wanted = min(wanted, self.options.limit - self.tally.applied)
        if self.options.max_records:
            wanted = min(wanted, self.options.max_records - self.tally.handled)
        return wanted

    def _renew_connections(self) -> None:
        """Give up connections that idled too long, so that the next record does not meet a dead one."""
        if time.monotonic() - self._renewed_at >= IDLE_RENEWAL_SECONDS:
            self._renewed_at = time.monotonic()
            close_old_connections()

    # --- applying -----------------------------------------------------------------------------------------------------

    def _apply_all(self, records: Sequence[Record]) -> None:
        by_partition: dict[TopicPartition, list[Record]] = {}
        for record in records:
            if record.timestamp < self.options.not_before * 1000:
                continue
            by_partition.setdefault(record.topic_partition, []).append(record)
        waiting = list(by_partition.items())
        try:
            while waiting and not self.stop.requested:
                self._apply_partition(*waiting.pop(0))
        finally:
            self.feed.give_back([record for _, rest in waiting for record in rest])

    def _apply_partition(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        started = time.monotonic()
        try:
            report = self.applier.apply(self.batch_of(partition, records))
        except BaseException:
            self.feed.rewind(partition)
            raise
        self.tally.add(report)
        self._pace.took(report.handled, time.monotonic() - started)
        if report.handled and (position := self.feed.positions.known(partition)) is not None:
            self._to_tell[partition] = position
        if report.conflict:
            self._read_again(partition)

    def batch_of(self, partition: TopicPartition, records: Sequence[Record]) -> Batch:
        """Return the records as they are understood by their topic's routes."""
        routes, position_after = self.routes[partition.topic], self.feed.client.position_after
        items = [Item(what=what, position_after=position_after(what.record)) for what in routes.decode_all(records)]
        return Batch(partition=partition, items=items)

    def _read_again(self, partition: TopicPartition) -> None:
        """Another consumer moved the position: go on where it says."""
        if self.stop.requested:
            return
        logger.info("The position of %s/%s was moved by another consumer; reading it again.", *partition)
        self.feed.rewind(partition)
        self.stop.pause(CONFLICT_PAUSE_SECONDS)

    def _tell_log(self, *, now: bool = False) -> None:
        """Tell the log about positions now and then: for its own tools, and for stores that keep them there."""
        at_once = now or not self.feed.positions.store.supports_transactions
        if not self._to_tell or not (at_once or time.monotonic() - self._told_at >= LOG_COMMIT_SECONDS):
            return
        mine = {p: position for p, position in self._to_tell.items() if self.feed.positions.holds(p)}
        self._to_tell, self._told_at = {}, time.monotonic()
        try:
            self.feed.client.commit_to_log(mine)
        except Exception as error:  # noqa: BLE001  (the position is in the database already; a client may raise anything)
            logger.warning("The log did not take the positions: %s", error)
