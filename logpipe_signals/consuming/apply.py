"""
Apply: the records of one partition become rows, in one transaction whose first statement moves the position.

That statement is a compare-and-set: a consumer that lost its partition is refused before any user code runs. It is also
a write, so that SQLite takes its write lock at once instead of failing when a reader wants to become a writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import transaction

from logpipe_signals import signals
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.consuming import tracing
from logpipe_signals.consuming.batch import Batch, BatchFailed, FoundInvalid
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.reports import BatchReport, announce_batch
from logpipe_signals.consuming.transients import is_transient, repeating
from logpipe_signals.consuming.work import finish, work
from logpipe_signals.exceptions import PositionConflict

MOST_PASSES = 3


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
        alone = len(batch.items) == 1
        if batch.has_raising and not alone:
            return None
        try:
            return self._without_invalid(batch)
        except PositionConflict:
            return BatchReport(conflict=True)
        except Exception as error:  # noqa: BLE001  (user code raises what it likes; each record's policy decides below)
            if is_transient(error) and self._stopped():
                return BatchReport(conflict=True)
            return self._set_aside(batch, error) if alone else None

    def _each(self, batch: Batch) -> BatchReport:
        total = BatchReport()
        for single in batch.singles():
            if self._stopped():
                total.conflict = True  # The rest is read again, by whoever comes next.
                return total
            started = time.monotonic()
            report = self._together(single) or BatchReport()
            total.add(report)
            if report.conflict:
                return total
            self._announce(single.partition, report, started)
        return total

    # --- one transaction ----------------------------------------------------------------------------------------------

    def _without_invalid(self, batch: Batch) -> BatchReport:
        """
        Apply a batch; where serializers refuse some records, again without those.

        What a refused record did before it was refused, in the guard's table too, is rolled back with the first try.
        """
        for _ in range(MOST_PASSES):
            try:
                return self._transact(batch, work)
            except FoundInvalid as found:
                batch = batch.refusing(found.refused)
        raise BatchFailed

    def _set_aside(self, batch: Batch, error: Exception) -> BatchReport:
        """Move over one record that failed, as its policy says, in a transaction that does not touch user code."""
        (item,) = batch.items
        refused = Refused.of(item.what, error) if isinstance(item.what, Incoming) else item.what
        if refused.policy == "raise":
            raise error

        def set_aside(batch: Batch, positions: Positions) -> BatchReport:
            report = BatchReport(handled=1, failed=[refused])
            finish(batch.refusing({id(item.what): refused}), report, positions)
            return report

        try:
            return self._transact(batch, set_aside)
        except PositionConflict:
            return BatchReport(conflict=True)
        except Exception as lost:
            if is_transient(lost) and self._stopped():
                return BatchReport(conflict=True)
            raise

    def _transact(self, batch: Batch, do: Callable[[Batch, Positions], BatchReport]) -> BatchReport:
        """Do something with a batch in a transaction that moves the position; the whole of it again if that helps."""

        def once() -> BatchReport:
            tracing.begin()
            with self._moving(batch):
                return do(batch, self.positions)

        return repeating(stopped=self._stopped, pause=self._pause)(once)

    @contextmanager
    def _moving(self, batch: Batch) -> Iterator[None]:
        """A transaction that begins by moving the position; one that is not kept in the database moves behind it."""
        first = self.positions.store.supports_transactions
        try:
            with transaction.atomic(using=self.positions.alias):
                if first:
                    self.positions.advance(batch.partition, batch.position_after)
                yield
                self._require_committable()
            if not first:
                self.positions.advance(batch.partition, batch.position_after)
        except BaseException:
            self.positions.forget_written([batch.partition])
            raise
        self.positions.confirm(batch.partition)

    def _require_committable(self) -> None:
        """Django rolls back without a word, where user code swallowed an error that broke the transaction."""
        if transaction.get_rollback(using=self.positions.alias):
            raise transaction.TransactionManagementError(
                "The transaction is marked for rollback: a database error was caught without an atomic() of its own."
            )

    def _announce(self, partition: TopicPartition, report: BatchReport, started: float) -> None:
        tracing.committed(report, self.positions.group)
        announce_batch(report, partition, time.monotonic() - started, self.positions.group)
        signals.announce(
            signals.position_moved,
            None,
            group=self.positions.group,
            topic=partition.topic,
            partition=partition.partition,
            position=self.positions.known(partition),
        )
