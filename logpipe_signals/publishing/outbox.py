"""
Writing the outbox: what is to be published, as rows, in the transaction of the change.

All rows of one save leave in one statement, written by hand: the ORM would cost as much again as the save.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from django.db import DatabaseError, connections, models, router, transaction

from logpipe_signals import tracing
from logpipe_signals.keys import encode_pk, lane_of
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import reading, wake
from logpipe_signals.registry import Publication

COLUMNS = ("publication", "object_id", "key", "lane", "operation", "payload")
ROWS_A_STATEMENT = 500
"""Keeps a statement's parameters within what every database takes."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """
    One row to be written to the outbox.

    key:     The message key; "" when it cannot be told, and the primary key chooses the lane.
    payload: For a delete or retraction, what its message will hold.
    place:   The id of its row, where it had one before.
    """

    publication: Publication
    object_id: str
    key: str
    operation: str = Operation.UPSERT
    payload: bytes | None = None
    place: int | None = None

    @property
    def lane_key(self) -> str:
        """Return what the lane is chosen by."""
        return self.key or self.object_id


def upsert(publication: Publication, instance: models.Model, using: str, *, key: str | None = None) -> Intent:
    """Intend to publish the row's state; of a publication of changes, keep what this one made of it."""
    payload = None
    if publication.options.payload == "change":
        instance = _as_stored(publication, instance, using)
        payload = reading.change_payload(publication, instance)
    object_id = encode_pk(instance, using, publication.model)
    key = reading.key_of(publication, instance) if key is None else key
    return Intent(publication=publication, object_id=object_id, key=key, payload=payload)


def _as_stored(publication: Publication, instance: models.Model, using: str) -> models.Model:
    """Return the row as it is in the database: the instance may hold expressions, or more than was saved."""
    pk = reading.pk_of(publication.model, instance)
    options = publication.options
    rows = publication.model._base_manager.using(using).filter(pk=pk)
    if options.select_related:
        rows = rows.select_related(*options.select_related)
    return rows.prefetch_related(*options.prefetch_related).get()


def delete(publication: Publication, instance: models.Model, using: str) -> Intent:
    """Intend to publish that the row is gone; the instance still has what its message needs."""
    return Intent(
        publication=publication,
        object_id=encode_pk(instance, using, publication.model),
        key=reading.key_of(publication, instance),
        operation=Operation.DELETE,
        payload=reading.delete_payload(publication, instance),
    )


def retract(publication: Publication, instance: models.Model, using: str) -> Intent:
    """Intend to publish that nothing has the instance's key any more: its row has another one."""
    return replace(delete(publication, instance, using), operation=Operation.RETRACT)


def write(using: str, intents: Sequence[Intent]) -> None:
    """
    Write rows to the outbox of an alias, in its open transaction, and wake the relay after the commit.

    If that fails, the transaction cannot be committed: a change without its row would be lost.
    """
    if not intents:
        return
    lanes = lane_count(using)
    rows = [(intent, lane_of(intent.publication.topic, intent.lane_key, lanes)) for intent in intents]
    with woken(using, {lane for _, lane in rows}):
        for some in _chunks([row for row in rows if row[0].place is None]):
            _insert(using, some)
        _put_back(using, [row for row in rows if row[0].place is not None])


@contextmanager
def woken(using: str, lanes: Collection[int]) -> Iterator[None]:
    """Wake the relay of these lanes after the commit; if the block fails, let there be no commit, and name the cure."""
    try:
        with transaction.mark_for_rollback_on_error(using):
            yield
            wake.schedule(using, lanes)
    except DatabaseError as error:
        error.add_note(
            f"A published change needs its outbox on database {using!r}. Where the table is missing: "
            f"manage.py migrate logpipe_signals --database={using}"
        )
        raise


def _chunks(rows: Sequence[tuple[Intent, int]]) -> Iterator[Sequence[tuple[Intent, int]]]:
    return (rows[start : start + ROWS_A_STATEMENT] for start in range(0, len(rows), ROWS_A_STATEMENT))


def _insert(using: str, rows: Sequence[tuple[Intent, int]]) -> None:
    connection = connections[using]
    quoted = ", ".join(connection.ops.quote_name(column) for column in COLUMNS)
    table = connection.ops.quote_name(OutboxRow._meta.db_table)
    one = "%s, %s, %s, %s, %s, %s"
    context = trace_context()
    if context is not None:
        quoted, one = f"{quoted}, headers", f"{one}, %s"
    values = ", ".join([f"({one})"] * len(rows))
    last = () if context is None else (context,)
    parameters = chain.from_iterable((*_values(intent, lane), *last) for intent, lane in rows)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({quoted}) VALUES {values}", list(parameters))  # noqa: S608  (own names)


def trace_context() -> str | None:
    """Return the context of the active span, as the outbox keeps it in `headers`; None where no span is active."""
    carrier = tracing.current()
    return None if carrier is None else json.dumps(carrier)


def _put_back(using: str, rows: Sequence[tuple[Intent, int]]) -> None:
    for intent, lane in rows:
        values = dict(zip(COLUMNS, _values(intent, lane), strict=True))
        OutboxRow.objects.using(using).create(id=intent.place, **values)


def _values(intent: Intent, lane: int) -> tuple[Any, ...]:
    return (
        intent.publication.name,
        intent.object_id,
        intent.key,
        lane,
        str(intent.operation),
        intent.payload,
    )


# --- lanes ------------------------------------------------------------------------------------------------------------

_lane_counts: dict[str, int] = {}
_uncommitted: set[str] = set()


def lane_count(using: str) -> int:
    """Return how many lanes a database has, remembered once it is sure to stay."""
    if using in _lane_counts:
        return _lane_counts[using]
    stored = Source.objects.using(using).filter(pk=1).values_list("lanes", flat=True).first()
    if stored is None:
        return _make_source(using)
    if using not in _uncommitted:
        _lane_counts[using] = stored
    return int(stored)


def ensure_source(using: str, **_: Any) -> None:
    """Make the source when the tables are made, so that no save has to."""
    forget_lane_counts()
    if router.allow_migrate_model(using, Source) and _has_table(using):
        Source.objects.current(using)


def forget_lane_counts() -> None:
    """Read them again: the tables may have been emptied."""
    _lane_counts.clear()
    _uncommitted.clear()


def _make_source(using: str) -> int:
    """Make the source in the transaction of the change; the number counts for others once that is committed."""
    _uncommitted.add(using)
    lanes = int(Source.objects.current(using).lanes)
    transaction.on_commit(lambda: _uncommitted.discard(using), using=using, robust=True)
    return lanes


def _has_table(using: str) -> bool:
    return Source._meta.db_table in connections[using].introspection.table_names()
