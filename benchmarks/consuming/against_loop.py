"""Bulk apply against a hand-written loop, without the guard and with it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.consuming import loop, ours
from benchmarks.consuming.topics import filled_topic
from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.stage import Stage


def measure(stage: Stage) -> Iterator[Figure]:
    """Both read the same topic through confluent-kafka, in one process each."""
    yield _measured(stage, "without the guard", headers=False, at_least=0.8)
    yield _measured(stage, "with the guard", headers=True, at_least=0.6)


def _measured(stage: Stage, what: str, *, headers: bool, at_least: float) -> Figure:
    rows = stage.options.rows
    topic = filled_topic(stage, rows, headers=headers)
    found = in_turns(
        lambda: ours.applied_per_second(topic, rows, bulk=True),
        lambda: loop.applied_per_second(stage, topic, rows),
        rounds=stage.options.pairs,
    )
    return Figure(
        issue=5,
        what=f"bulk apply, {what}: against a hand-written loop",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=at_least,
    )
