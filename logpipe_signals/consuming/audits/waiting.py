"""Waiting until the marks of an audit have arrived here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

from logpipe_signals.consuming.audits.reports import AuditReport, latest, marks_arrived, report_on
from logpipe_signals.consuming.routing import Routes

LOOK_SECONDS = 0.2


def wait_for(
    run: str,
    kinds: Collection[tuple[str, int]],
    routes: Mapping[str, Routes],
    *,
    using: str,
    patience_seconds: float,
    stop: threading.Event,
    progress: Callable[[int], object] = lambda marks: None,
) -> list[AuditReport]:
    """
    Return the reports on an audit once all its marks arrived, or when none came for so long.

    Args:
        kinds: The (type, version) pairs that have to report.
        progress: Called with the number of marks that are there.
    """
    seen, changed_at = -1, time.monotonic()
    while True:
        audits = list(latest(using, run=run))
        there = sum(audit.ranges.count() for audit in audits)
        if there != seen:
            seen, changed_at = there, time.monotonic()
            progress(there)
        known = {(audit.message_type, audit.version) for audit in audits}
        done = known >= set(kinds) and all(marks_arrived(audit) for audit in audits)
        if done or stop.is_set() or time.monotonic() - changed_at >= patience_seconds:
            return [report_on(audit, routes) for audit in reversed(audits)]
        stop.wait(LOOK_SECONDS)
