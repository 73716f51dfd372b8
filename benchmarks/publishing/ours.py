"""Our side: a relay as `manage.py run_relay` runs it, in a process of its own, until it has retired so many rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import pythons
from benchmarks.pairs import Side


@contextmanager
def relay(rows: int, backend: str) -> Iterator[Side]:
    """Yield a side that fills the outbox and drains it, and tells how many rows that were a second."""
    from benchmarks.publishing.backlog import wait_in_outbox

    with pythons.running(__name__, backend) as process:

        def side() -> float:
            wait_in_outbox(rows)
            return drained_per_second(process, rows)

        yield side


def drained_per_second(process: pythons.Other, rows: int, *, using: str = "default") -> float:
    """Let a relay's process drain so many rows of what waits, and return how many that were a second."""
    report = process.ask(rows=rows, using=using)
    assert report["sent"] == report["retired"] >= rows, report
    return float(report["sent"] / report["seconds"])


def _relayed(rows: int, using: str) -> dict[str, Any]:
    from logpipe_signals.publishing.worker import RelayWorker

    def stop_when_done() -> None:
        if worker.report.retired >= rows:
            worker.stop()

    # No signal: a receiver of `batch_relayed` has every row's age asked for, which is the price of metrics.
    worker = RelayWorker([using], beat=stop_when_done)
    started = time.perf_counter()
    report = worker.run()
    seconds = time.perf_counter() - started
    return {"sent": report.sent, "retired": report.retired, "seconds": seconds}


def main(backend: str) -> None:
    """Be the relay's process."""
    import django

    django.setup()
    from benchmarks.backends import through

    with through(backend):
        pythons.answer(_relayed)


if __name__ == "__main__":
    main(sys.argv[1])
