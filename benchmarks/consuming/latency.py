"""Commit on the publisher to the row on the subscriber, with a relay and a consumer that idle."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from benchmarks import pythons
from benchmarks.figures import Figure
from benchmarks.stage import Stage

P99_MILLISECONDS = 100


def measure(stage: Stage) -> Iterator[Figure]:
    """Save now and then, and look when the copy was committed."""
    from benchmarks.backends import through
    from benchmarks.publishing.backlog import wait_in_outbox
    from benchmarks.publishing.latency import WARM_UP, delay, figures

    wait_in_outbox(0)
    with (
        through("confluent", RELAY="worker"),
        pythons.running("benchmarks.publishing.latency", "confluent") as relay,
        pythons.running(__name__, "confluent") as consumer,
    ):
        relay.report(), consumer.report()
        delays = [delay(consumer) for _ in range(WARM_UP + stage.options.saves)][WARM_UP:]
    yield from figures("commit to the subscriber's row, both idle", 5, delays, P99_MILLISECONDS)


def _consume(backend: str) -> None:
    import django

    django.setup()
    from benchmarks.backends import through
    from logpipe_signals import Consumer
    from logpipe_signals.consuming.stopping import Stop
    from logpipe_signals.consuming.worker import WorkerOptions, run_worker
    from logpipe_signals.signals import message_applied
    from testproject.mirror.serializers import PersonCopySerializer

    def report(**_: Any) -> None:
        pythons.tell(at=time.time())

    message_applied.connect(report, weak=False)
    consumer = Consumer("people")
    consumer.register(PersonCopySerializer)
    with through(backend):
        pythons.tell(ready=True)
        run_worker([consumer], WorkerOptions(group=uuid4().hex, start="end"), stop=Stop())


if __name__ == "__main__":
    _consume(sys.argv[1])
