"""Our side: a worker as `manage.py run_consumer` runs it, until it has applied what stands on a topic."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from benchmarks.backends import through
from benchmarks.consuming.copies import count_copies, forget_copies
from logpipe_signals import Consumer
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.signals import batch_applied
from testproject.mirror.serializers import PersonCopySerializer

BACKEND = "confluent"


def applied_per_second(topic: str, rows: int, *, bulk: bool, backend: str = BACKEND) -> float:
    """
    Apply so many records as a new group, and return how many that were a second.

    Counted from the end of the first batch: the connection and the assignment are no part of the rate.
    """
    forget_copies()
    batches: list[tuple[float, int]] = []

    def count(sender: object, *, applied: int, **_: Any) -> None:
        batches.append((time.perf_counter(), applied))

    consumer = Consumer(topic)
    consumer.register(PersonCopySerializer, bulk=bulk)
    batch_applied.connect(count)
    with through(backend):
        run_worker([consumer], WorkerOptions(group=uuid4().hex, max_records=rows), stop=Stop())
    batch_applied.disconnect(count)
    assert count_copies() == rows, count_copies()
    (began_at, first), *_, (ended_at, _) = batches
    return (rows - first) / (ended_at - began_at)
