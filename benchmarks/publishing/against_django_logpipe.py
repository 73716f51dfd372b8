"""Drain of a backlog against django-logpipe 1.6's `Producer.send` of the same rows."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.publishing.backlog import TOPIC, have_people
from benchmarks.publishing.ours import relay
from benchmarks.stage import Stage


def confluent(stage: Stage) -> Iterator[Figure]:
    """With confluent-kafka."""
    yield _measured(stage, "confluent", at_least=20)


def kafka_python(stage: Stage) -> Iterator[Figure]:
    """With kafka-python, as the peer has it."""
    yield _measured(stage, "kafka", at_least=10)


def _measured(stage: Stage, backend: str, *, at_least: float) -> Figure:
    rows, peer_rows = stage.options.rows, stage.options.peer_rows
    have_people(rows)
    with relay(rows, backend) as ours:
        found = in_turns(
            ours,
            lambda: stage.peer_publisher.rows_per_second("send", topic=TOPIC, first=1, rows=peer_rows),
            rounds=stage.options.pairs,
        )
    return Figure(
        issue=4,
        what=f"drain, {backend}, one relay: against django-logpipe's Producer.send",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=at_least,
    )
