"""Running an audit: every row is read and marked, twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from logpipe_signals.backend import clock
from logpipe_signals.models import Source
from logpipe_signals.publishing.audits.reading import Range, RangeReader
from logpipe_signals.publishing.audits.sending import MarkSender
from logpipe_signals.publishing.backfills.targets import Target


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """
    How an audit runs.

    rounds:          How often each row is looked at. What differs in the last round too is drift.
    pause_seconds:   Between two rounds, so that what was under way arrives.
    rows_per_second: The most rows to read; 0: as fast as it goes.
    pks:             Only these rows, by the text of their primary keys; extra rows are not looked for then.
    """

    rounds: int = 2
    pause_seconds: float = 2.0
    rows_per_second: float = 0.0
    pks: Sequence[str] | None = None


@dataclass(kw_only=True)
class AuditSent:
    """What an audit put on the topic. `rows` were read in the last round."""

    audit: str
    target: Target
    rows: int = 0
    under_way: int = 0
    unreadable: int = 0
    marks: int = 0
    sent_bytes: int = 0
    cancelled: bool = False


Progress = Callable[[int, int], object]


class AuditRun:
    """
    One audit of one publication.

    Args:
        progress: Called with the round's number and how many rows were read since the last call.
    """

    def __init__(
        self,
        target: Target,
        options: AuditOptions,
        *,
        progress: Progress = lambda round_number, rows: None,
        stop: threading.Event | None = None,
    ) -> None:
        self.target, self.options = target, options
        self._progress = progress
        self._stop = stop or threading.Event()
        self._reader = RangeReader(target)
        self.sent = AuditSent(audit=uuid.uuid4().hex, target=target)
        self._sender = MarkSender(
            target.publication, self._reader.versions, audit=self.sent.audit, rounds=options.rounds
        )

    def run(self) -> AuditSent:
        """
        Put the marks of all rounds on the topic, and return when the log has them.

        Raises:
            BackendUnavailable, MissingTopicError, AuditFailed: The subscriber reports the audit as incomplete.
        """
        for round_number in range(1, self.options.rounds + 1):
            if round_number > 1:
                self._stop.wait(self.options.pause_seconds)
            self._round(round_number)
            if self._stop.is_set():
                self.sent.cancelled = True
                break
        self.sent.marks, self.sent.sent_bytes = self._sender.marks, self._sender.sent_bytes
        return self.sent

    def _round(self, round_number: int) -> None:
        source, sequence = Source.objects.draw_sequence(self.target.using)
        self._sender.begin(round_number, source, sequence)
        self.sent.rows = self.sent.under_way = self.sent.unreadable = 0
        started = clock.seconds()
        for found in self._reader.ranges(self.options.pks):
            if self._stop.is_set():
                break
            self._mark(found)
            self._progress(round_number, found.read)
            self._hold_back(started)
        if not self._stop.is_set():
            # Behind the rows: a delete that is not in the outbox by now was sent, or its row was read.
            for hashes in self._reader.leaving():
                self._sender.leave(hashes, sequence)
        whole = self.options.pks is None and self.target.publication.options.delete != "ignore"
        self._sender.end(sequence, deletes=whole, cancelled=self._stop.is_set())

    def _mark(self, found: Range) -> None:
        self._sender.add(found.entries, found.sequence)
        if untold := [*found.unreadable, *found.leaving]:
            self._sender.leave(untold, found.sequence)
        self.sent.rows += len(found.entries)
        self.sent.under_way += sum(entry.rows[0].under_way for entry in found.entries)
        self.sent.unreadable += len(found.unreadable)

    def _hold_back(self, started: float) -> None:
        if self.options.rows_per_second:
            done = self.sent.rows + self.sent.unreadable
            self._stop.wait(max(0.0, started + done / self.options.rows_per_second - clock.seconds()))
