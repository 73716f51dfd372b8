"""Drain of a backlog against a hand-written serial loop: it pays off only if reading, sending and retiring overlap."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Producer

from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.publishing import loop, ours
from benchmarks.stage import Stage


def measure(stage: Stage) -> Iterator[Figure]:
    """Both through confluent-kafka, both with one process."""
    rows = stage.options.rows
    producer = Producer({"bootstrap.servers": stage.bootstrap_servers})
    found = in_turns(
        lambda: ours.drained_per_second(rows, "confluent"),
        lambda: loop.drained_per_second(rows, producer),
        rounds=stage.options.pairs,
    )
    yield Figure(
        issue=4,
        what="drain, confluent, one relay: against a hand-written serial loop",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=1.0,
    )
