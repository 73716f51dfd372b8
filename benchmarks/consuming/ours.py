"""Our side: a consumer that applies what stands on a topic."""

from __future__ import annotations

import time
from uuid import uuid4

from benchmarks.backends import through
from benchmarks.consuming.copies import count_copies, forget_copies
from logpipe_signals import Consumer
from testproject.mirror.serializers import PersonCopySerializer

BACKEND = "confluent"
PATIENCE_MS = 30_000


def applied_per_second(topic: str, rows: int, *, bulk: bool, backend: str = BACKEND) -> float:
    """Apply so many records as a new group, and return how many that were a second."""
    forget_copies()
    with through(backend, CONSUMER_GROUP=uuid4().hex):
        consumer = Consumer(topic, consumer_timeout_ms=PATIENCE_MS)
        consumer.register(PersonCopySerializer, bulk=bulk)
        consumer.run(iter_limit=1)  # The connection and the assignment are no part of the rate.
        started = time.perf_counter()
        consumer.run(iter_limit=rows - 1)
        seconds = time.perf_counter() - started
        consumer.close()
    assert count_copies() == rows, count_copies()
    return (rows - 1) / seconds
