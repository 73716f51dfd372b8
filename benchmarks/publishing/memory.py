"""Peak memory of a relay, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import pythons
from benchmarks.figures import Figure
from benchmarks.stage import Stage

MEGABYTES = 200


def measure(stage: Stage) -> Iterator[Figure]:
    """Let a relay drain a backlog and ask it what it took."""
    from benchmarks.publishing.backlog import wait_in_outbox

    rows = stage.options.memory_rows
    wait_in_outbox(rows)
    with pythons.running(__name__, "confluent") as relay:
        report = relay.report()
    assert report["sent"] == rows, report
    yield Figure(
        issue=4,
        what=f"peak memory of the relay over {rows:,} rows, megabytes",
        ours=f"{report['megabytes']:.0f} MB",
        value=report["megabytes"],
        bound=MEGABYTES,
        at_most=True,
    )


def _drain(backend: str) -> None:
    import django

    django.setup()
    from benchmarks.backends import through
    from logpipe_signals.publishing.worker import RelayWorker

    with through(backend):
        report = RelayWorker(["default"]).drain()
    pythons.tell(sent=report.sent, megabytes=pythons.peak_megabytes())


if __name__ == "__main__":
    _drain(sys.argv[1])
