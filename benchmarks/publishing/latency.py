"""Commit to the broker's acknowledgement, with a relay that idles in a process of its own."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import pythons
from benchmarks.figures import Figure, milliseconds
from benchmarks.stage import Stage

P99_MILLISECONDS = 50
WARM_UP = 5
"""Saves that do not count: connections are made with the first ones."""


def measure(stage: Stage) -> Iterator[Figure]:
    """Save now and then, and look when the relay had it acknowledged."""
    from benchmarks.backends import through
    from benchmarks.publishing.backlog import wait_in_outbox

    wait_in_outbox(0)
    with through("confluent", RELAY="worker"), pythons.running(__name__, "confluent") as relay:
        relay.report()
        delays = [delay(relay) for _ in range(WARM_UP + stage.options.saves)][WARM_UP:]
    yield from figures("commit to broker acknowledgement, idle relay", 4, delays, P99_MILLISECONDS)


def delay(end: pythons.Other) -> float:
    """Wait a while, save somebody, and return how long it took until the other end reported it."""
    from benchmarks.publishing.saving import saved_at

    time.sleep(random.uniform(0.02, 0.2))
    committed_at = saved_at()
    return float(end.report()["at"] - committed_at)


def figures(what: str, issue: int, delays: list[float], p99_milliseconds: float) -> Iterator[Figure]:
    """Return the figure of many delays: their median is told, their 99th percentile has to hold."""
    ordered = sorted(delays)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))]
    yield Figure(
        issue=issue,
        what=f"{what}: p99 of {len(ordered)}, milliseconds",
        ours=f"p50 {milliseconds(p50)}, p99 {milliseconds(p99)}",
        value=1000 * p99,
        bound=p99_milliseconds,
        at_most=True,
    )


def _relay(backend: str) -> None:
    import django

    django.setup()
    from benchmarks.backends import through
    from logpipe_signals.publishing.worker import RelayWorker
    from logpipe_signals.signals import message_sent

    def report(**_: Any) -> None:
        pythons.tell(at=time.time())

    message_sent.connect(report, weak=False)
    with through(backend, RELAY="worker"):
        worker = RelayWorker(["default"])
        pythons.tell(ready=True)
        worker.run()


if __name__ == "__main__":
    _relay(sys.argv[1])
