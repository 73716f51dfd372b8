"""How large the tables become: bytes a row on PostgreSQL, indexes and all, over as many rows as a project has soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.figures import Figure

if TYPE_CHECKING:
    from benchmarks.stage import Stage

ROWS = 100_000
CHUNK = 5_000
BODY = b'json:{"type":"person","version":1,"message":{"first_name":"Joe","last_name":"Schmoe","id":123456}}'


def measure(stage: Stage) -> Iterator[Figure]:
    """Fill each table, and divide what it takes by its rows. What it held before is put away first."""
    for what, bound, make in _tables():
        found = _bytes_a_row(make)
        yield Figure(
            issue=7, what=f"bytes a row: {what}", ours=f"{found:,.0f} B", value=found, bound=bound, at_most=True
        )


def _tables() -> Iterator[tuple[str, int, Callable[[int], Any]]]:
    """Yield a name, an upper bound of bytes, and what makes the row of a number."""
    from logpipe_signals.models import AppliedSequence, DeadLetter, LogPartition, LogRecord, Offset, OutboxRow

    LogPartition.objects.get_or_create(pk=1, defaults={"topic": "people", "number": 0})
    yield (
        "outbox",
        300,
        lambda n: OutboxRow(publication="people.person:people", object_id=str(n), key=str(n), lane=n % 64),
    )
    yield (
        "guard",
        300,
        lambda n: AppliedSequence(digest=uuid4(), identity=f"person:{n}", sequence=n, message_key=str(n)),
    )
    yield "dead letter", 2000, _letter_maker(DeadLetter)
    yield (
        "position",
        400,
        lambda n: Offset(log="kafka", group="logpipe", topic="people", partition=str(n), position=str(n)),
    )
    yield (
        "record of the embedded log",
        600,
        lambda n: LogRecord(partition_id=1, offset=n, key=str(n).encode(), value=BODY, headers=_headers(n)),
    )


def _letter_maker(model: type[Any]) -> Callable[[int], Any]:
    return lambda n: model(
        side="consumer",
        topic="people",
        partition="0",
        offset=str(n),
        group="logpipe",
        identity=f"person:{n}",
        message_type="person",
        version=1,
        key=str(n).encode(),
        value=BODY,
        headers=_headers(n),
        reason="ValidationError",
        error="first_name: This field may not be blank.",
    )


def _headers(n: int) -> list[list[str]]:
    return [["identity", f"person:{n}"], ["source", uuid4().hex], ["sequence", str(n)]]


def _bytes_a_row(make: Callable[[int], Any]) -> float:
    from django.db import connections

    model = type(make(0))
    rows = model._base_manager.using("default")
    rows.all().delete()
    with connections["default"].cursor() as cursor:
        cursor.execute(f'VACUUM FULL "{model._meta.db_table}"')
        for first in range(0, ROWS, CHUNK):
            rows.bulk_create([make(number) for number in range(first, first + CHUNK)])
        cursor.execute("SELECT pg_total_relation_size(%s)", [model._meta.db_table])
        size = int(cursor.fetchone()[0])
        cursor.execute(f'TRUNCATE "{model._meta.db_table}"')
    return size / ROWS
