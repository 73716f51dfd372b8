"""Our side: a relay that drains what waits in the outbox."""

from __future__ import annotations

import time

from benchmarks.backends import through
from benchmarks.publishing.backlog import wait_in_outbox
from logpipe_signals.publishing.relay import drain


def drained_per_second(rows: int, backend: str) -> float:
    """Drain a backlog through one backend, and return how many rows that were a second."""
    wait_in_outbox(rows)
    with through(backend):
        started = time.perf_counter()
        report = drain("default")
        seconds = time.perf_counter() - started
    assert report.sent == report.retired == rows, report
    return rows / seconds
