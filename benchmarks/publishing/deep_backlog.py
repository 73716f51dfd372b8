"""Drain at a deep backlog against a shallow one, and once more while somebody keeps an old snapshot open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import pythons
from benchmarks.figures import Figure, per_second
from benchmarks.pairs import Paired, in_turns
from benchmarks.publishing import ours
from benchmarks.publishing.backlog import wait_in_outbox
from benchmarks.stage import Stage

SHALLOW_ROWS = 10_000


def measure(stage: Stage) -> Iterator[Figure]:
    """Drain ten thousand rows of a deep outbox and of one that holds no more than those, in turns."""
    rows = stage.options.deep_rows
    wait_in_outbox(rows, using="deep")
    yield _figure(f"drain at a backlog of {rows:,} against {SHALLOW_ROWS:,}", _in_turns(stage), at_least=0.9)
    with _old_snapshot(f"{stage.database_url}_deep"):
        yield _figure("the same with an old snapshot open", _in_turns(stage), at_least=0.5)


def _in_turns(stage: Stage) -> Paired:
    with (
        ours.relay(SHALLOW_ROWS, "confluent") as shallow,
        pythons.running("benchmarks.publishing.ours", "confluent") as deep,
    ):
        return in_turns(
            lambda: ours.drained_per_second(deep, SHALLOW_ROWS, using="deep"), shallow, rounds=stage.options.pairs
        )


@contextmanager
def _old_snapshot(url: str) -> Iterator[None]:
    """Keep dead rows from being vacuumed, as a long report or a forgotten session does."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT COUNT(*) FROM people_person WHERE id = 1")
        yield


def _figure(what: str, found: Paired, *, at_least: float) -> Figure:
    return Figure(
        issue=4,
        what=what,
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=at_least,
    )
