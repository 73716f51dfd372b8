"""
Apply: the records of one partition become rows, in one transaction whose first statement moves the position.

That statement is a compare-and-set: a consumer that lost its partition is refused before any user code runs. It is also
a write, so that SQLite takes its write lock at once instead of failing when a reader wants to become a writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction

from logpipe_signals import signals
from logpipe_signals.backend.base import Position, TopicPartition
from logpipe_signals.consuming import dead_letters
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.reports import BatchReport, announce_batch
from logpipe_signals.consuming.saving import apply_record
from logpipe_signals.consuming.transients import is_transient, repeating
from logpipe_signals.exceptions import PositionConflict, ValidationError


@dataclass(frozen=True, kw_only=True)
class Item:
    """A record as it was understood, and the position behind it."""

    what: Incoming | Refused
    position_after: Position


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Records of one partition, in order."""

    partition: TopicPartition
    items: Sequence[Item]

    @property
    def position_after(self) -> Position:
        """Return the position behind the last record."""
        return self.items[-1].position_after

    def singles(self) -> Iterator[Batch]:
        """Return each record as a batch of its own."""
        return (Batch(partition=self.partition, items=[item]) for item in self.items)


class Applier:
    """Applies batches. `stopped` is asked before anything is tried again, `pause` waits between two tries."""

    def __init__(
        self,
        positions: Positions,
        *,
        stopped: Callable[[], bool] = lambda: False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.positions = positions
        self._stopped = stopped
        self._pause = pause

    def apply(self, batch: Batch) -> BatchReport:
        """
        Apply a batch: together if that works, else a transaction for each record, so that a bad one costs itself alone.

        A conflict ends it: the report says so, and the caller reads the position again. So does a stop while the
        database is away.

        Raises:
            Exception: Of a record whose policy is "raise". Those before it are applied, the position stands at it.
        """
        started = time.monotonic()
        report = self._together(batch)
        if report is None:
            report = self._each(batch)
        elif not report.conflict:
            self._announce(batch.partition, report, started)
        return report

    def _together(self, batch: Batch) -> BatchReport | None:
        """Apply a batch in one transaction; None where it has to be done one by one."""
        if len(batch.items) > 1 and any(_raises(item.what) for item in batch.items):
            return None
        try:
            return self._repeat(lambda: self._transact(batch))
        except PositionConflict:
            return BatchReport(conflict=True)
        except Exception as error:  # noqa: BLE001  (user code raises what it likes; each record's policy decides below)
            if is_transient(error) and self._stopped():
                return BatchReport(conflict=True)
            return self._set_aside(batch, error) if len(batch.items) == 1 else None

    def _each(self, batch: Batch) -> BatchReport:
        total = BatchReport()
        for single in batch.singles():
            started = time.monotonic()
            report = self._together(single) or BatchReport()
            total.add(report)
            if report.conflict:
                return total
            self._announce(single.partition, report, started)
        return total

    # --- one transaction ----------------------------------------------------------------------------------------------

    def _repeat(self, work: Callable[[], BatchReport]) -> BatchReport:
        return repeating(stopped=self._stopped, pause=self._pause)(work)

    def _transact(self, batch: Batch) -> BatchReport:
        report = BatchReport(handled=len(batch.items))
        with self._moving(batch):
            for item in batch.items:
                self._apply_item(item.what, report)
            self._finish(batch, report)
        return report

    def _apply_item(self, what: Incoming | Refused, report: BatchReport) -> None:
        if isinstance(what, Refused):
            self._refuse(what, report)
            return
        try:
            report.applied.append((what, apply_record(what)))
        except ValidationError as error:
            self._refuse(Refused.of(what, error), report)

    def _refuse(self, refused: Refused, report: BatchReport) -> None:
        if refused.policy == "raise":
            raise refused.error
        report.failed.append(refused)

    def _finish(self, batch: Batch, report: BatchReport) -> None:
        dead_letters.keep(report.failed, group=self.positions.group, alias=self.positions.alias)

    def _set_aside(self, batch: Batch, error: Exception) -> BatchReport:
        """Move over one record that failed, as its policy says, in a transaction that does not touch user code."""
        (item,) = batch.items
        refused = Refused.of(item.what, error) if isinstance(item.what, Incoming) else item.what
        if refused.policy == "raise":
            raise error

        def set_aside() -> BatchReport:
            report = BatchReport(handled=1, failed=[refused])
            with self._moving(batch):
                self._finish(batch, report)
            return report

        try:
            return self._repeat(set_aside)
        except PositionConflict:
            return BatchReport(conflict=True)

    @contextmanager
    def _moving(self, batch: Batch) -> Iterator[None]:
        """A transaction that begins by moving the position, or, where it is not kept in the database, ends before."""
        first = self.positions.store.supports_transactions
        try:
            with transaction.atomic(using=self.positions.alias):
                if first:
                    self.positions.advance(batch.partition, batch.position_after)
                yield
            if not first:
                self.positions.advance(batch.partition, batch.position_after)
        except BaseException:
            self.positions.forget_written([batch.partition])
            raise
        self.positions.confirm(batch.partition)

    def _announce(self, partition: TopicPartition, report: BatchReport, started: float) -> None:
        announce_batch(report, partition, time.monotonic() - started)
        signals.announce(
            signals.position_moved,
            None,
            group=self.positions.group,
            topic=partition.topic,
            partition=partition.partition,
            position=self.positions.known(partition),
        )


def _raises(what: Incoming | Refused) -> bool:
    return isinstance(what, Refused) and what.policy == "raise"
