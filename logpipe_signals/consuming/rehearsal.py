"""A rehearsal: what a batch would do, without doing it."""

from __future__ import annotations

from django.db import transaction

from logpipe_signals.consuming.batch import Batch
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.consuming.reports import BatchReport, report_refused
from logpipe_signals.consuming.saving import validated


class Rehearsal:
    """Looks rows up and validates messages; writes nothing, and moves no position."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def apply(self, batch: Batch) -> BatchReport:
        """Return what would have become of each record, and report those that would have failed."""
        report = BatchReport(handled=len(batch.items))
        for item in batch.items:
            refused = self._try(item.what)
            if refused is not None:
                report.failed.append(refused)
                report_refused(refused)
            elif isinstance(item.what, Incoming):
                report.applied.append((item.what, None))
        return report

    def _try(self, what: Incoming | Refused) -> Refused | None:
        if isinstance(what, Refused):
            return what
        try:
            with transaction.atomic(using=self._alias):
                instance = what.route.lookup.find(what.message)
                if not what.is_delete:
                    validated(what, instance)
                transaction.set_rollback(True, using=self._alias)
        except Exception as error:  # noqa: BLE001  (user code raises what it likes; a rehearsal goes on)
            return Refused.of(what, error)
        return None
