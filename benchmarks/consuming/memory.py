"""Peak memory of a consumer, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import uuid4

from benchmarks import pythons
from benchmarks.figures import Figure
from benchmarks.stage import Stage

MEGABYTES = 200
FLAT = 1.1


def measure(stage: Stage) -> Iterator[Figure]:
    """Let a consumer apply a topic, and ask it what it took after a quarter and at the end."""
    from benchmarks.consuming.copies import forget_copies
    from benchmarks.consuming.topics import filled_topic

    rows = stage.options.memory_rows
    topic = filled_topic(stage, rows, headers=True, partitions=3)
    forget_copies()
    with pythons.running(__name__, topic, rows) as consumer:
        early, late = consumer.report()["megabytes"], consumer.report()["megabytes"]
    for what, value, bound in (("megabytes", late, MEGABYTES), ("end over first quarter", late / early, FLAT)):
        yield Figure(
            issue=5,
            what=f"peak memory over {rows:,} records, {what}",
            ours=f"{early:.0f} MB, then {late:.0f} MB",
            value=value,
            bound=bound,
            at_most=True,
        )


def _consume(topic: str, rows: int) -> None:
    import django

    django.setup()
    from benchmarks.backends import through
    from logpipe_signals import Consumer
    from testproject.mirror.serializers import PersonCopySerializer

    with through("confluent", CONSUMER_GROUP=uuid4().hex):
        consumer = Consumer(topic, consumer_timeout_ms=30_000)
        consumer.register(PersonCopySerializer, bulk=True)
        for part in (rows // 4, rows - rows // 4):
            consumer.run(iter_limit=part)
            pythons.tell(megabytes=pythons.peak_megabytes())


if __name__ == "__main__":
    _consume(sys.argv[1], int(sys.argv[2]))
