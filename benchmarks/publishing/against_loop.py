"""Drain of a backlog against a hand-written serial loop: it pays off only if reading, sending and retiring overlap."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.publishing.loop import by_hand
from benchmarks.publishing.ours import relay
from benchmarks.stage import Stage


def measure(stage: Stage) -> Iterator[Figure]:
    """Both through confluent-kafka, each in one process."""
    rows = stage.options.rows
    with relay(rows, "confluent") as ours, by_hand(stage, rows) as peer:
        found = in_turns(ours, peer, rounds=stage.options.pairs)
    yield Figure(
        issue=4,
        what="drain, confluent, one relay: against a hand-written serial loop",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=1.0,
    )
