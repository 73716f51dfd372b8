"""Statements of a bulk batch of records of one type."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from uuid import uuid4

from django.db import connections
from django.test.utils import CaptureQueriesContext

from benchmarks.backends import through
from benchmarks.consuming.copies import forget_copies
from benchmarks.consuming.topics import filled_topic
from benchmarks.figures import Figure
from benchmarks.stage import Stage
from logpipe_signals import Consumer
from testproject.mirror.serializers import PersonCopySerializer

SIZES = (500, 2_000)


def measure(stage: Stage) -> Iterator[Figure]:
    """Count the statements of a batch, its BEGIN and COMMIT too, without the guard and with it."""
    for headers, bound in ((False, 5), (True, 7)):
        counts = [_most_statements(stage, size, headers=headers) for size in SIZES]
        yield Figure(
            issue=5,
            what=f"statements of a bulk batch, {'with' if headers else 'without'} the guard",
            ours=", ".join(f"{count} for {size:,}" for size, count in zip(SIZES, counts, strict=True)),
            value=max(counts),
            bound=bound,
            at_most=True,
        )


def _most_statements(stage: Stage, size: int, *, headers: bool) -> int:
    """Return how many statements the dearest transaction had; batches grow to their size first."""
    forget_copies()
    topic = filled_topic(stage, 4 * size, headers=headers)
    with through("confluent", CONSUMER_GROUP=uuid4().hex, CONSUMER_BATCH_SIZE=size):
        consumer = Consumer(topic, consumer_timeout_ms=30_000)
        consumer.register(PersonCopySerializer, bulk=True)
        with CaptureQueriesContext(connections["subscriber"]) as captured:
            consumer.run(iter_limit=4 * size)
        consumer.close()
    statements = [query["sql"] for query in captured.captured_queries]
    begins = [index for index, statement in enumerate(statements) if statement == "BEGIN"]
    return max(end - begin for begin, end in pairwise([*begins, len(statements)]))
