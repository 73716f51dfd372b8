"""Records applied a second, against django-logpipe 1.6's `Consumer.run` with the same serializer."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.consuming import ours
from benchmarks.consuming.topics import filled_topic
from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.stage import Stage


def bulk(stage: Stage) -> Iterator[Figure]:
    """Set-wise; the records carry what a relay gives them, so the guard is on."""
    rows = stage.options.rows
    yield _measured(stage, "bulk apply, guard on", rows, bulk=True, at_least=25)


def one_by_one(stage: Stage) -> Iterator[Figure]:
    """`serializer.save()` for each record."""
    rows = 3 * stage.options.peer_rows
    yield _measured(stage, "serializer.save() per record, guard on", rows, bulk=False, at_least=3)


def _measured(stage: Stage, what: str, rows: int, *, bulk: bool, at_least: float) -> Figure:
    peer_rows, rounds = stage.options.peer_rows, stage.options.pairs
    topic = filled_topic(stage, rows, headers=True)
    peer_topic = filled_topic(stage, peer_rows * (rounds + 1), headers=True)  # It reads on where it ended.
    found = in_turns(
        lambda: ours.applied_per_second(topic, rows, bulk=bulk),
        lambda: stage.peer_subscriber.rows_per_second("consume", topic=peer_topic, rows=peer_rows),
        rounds=rounds,
    )
    return Figure(
        issue=5,
        what=f"{what}: against django-logpipe's Consumer.run",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=at_least,
    )
