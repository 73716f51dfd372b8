"""
Whole sets of rows into the outbox: keys are copied inside the database, whatever the number of rows.

    INSERT INTO outbox (publication, object_id, key, lane, operation, payload)
    SELECT 'people.person:people', id, uuid, lane of uuid, 'upsert', NULL FROM person WHERE ...

Where SQL cannot tell a key (see key_sql), or each change is its own message, the rows are read in chunks instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connections, models
from django.db.models import BinaryField, Value

from logpipe_signals.models import OutboxRow
from logpipe_signals.models.expressions import LaneOf
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, outbox
from logpipe_signals.publishing.key_sql import key_sql, lane_key_sql, object_id_sql
from logpipe_signals.registry import Publication

ROWS_A_CHUNK = 500


def publish(publication: Publication, using: str, **lookup: Any) -> None:
    """Publish every row that a lookup finds, each once."""
    rows = publication.concrete_model._base_manager.using(using).filter(**lookup)
    chosen = publication.concrete_model._base_manager.using(using).filter(pk__in=rows.order_by().values("pk"))
    if not is_possible(publication, using):
        for chunk in chunked(before.rows_of(publication, using).filter(pk__in=rows.order_by().values("pk"))):
            outbox.write(using, [outbox.upsert(publication, instance, using) for instance in chunk])
        return
    lanes = outbox.lane_count(using)
    sql, parameters = select(publication, using, Operation.UPSERT, lanes=lanes, rows=chosen)
    statement, all_parameters = insertion(using, sql, parameters)
    execute(using, statement, all_parameters, lanes)


def is_possible(publication: Publication, using: str) -> bool:
    """Tell whether SQL can tell all that an upsert's row holds."""
    in_sql = key_sql(publication, using) is not None and object_id_sql(publication, using) is not None
    return in_sql and publication.options.payload == "state"


def select(
    publication: Publication,
    using: str,
    operation: Operation,
    *,
    lanes: int,
    rows: models.QuerySet[Any] | None = None,
    payload: Any = None,
) -> tuple[str, tuple[Any, ...]]:
    """Return the SELECT of outbox rows, its columns named `logpipe_key` and so on, and its parameters."""
    object_id: Any = object_id_sql(publication, using)
    key: Any = key_sql(publication, using)
    lane_key = lane_key_sql(key, object_id, using)
    columns = {
        "publication": Value(publication.name),
        "object_id": object_id,
        "key": key,
        "lane": LaneOf(publication.topic, lane_key, lanes),
        "operation": Value(operation.value),
        "payload": payload if payload is not None else Value(None, output_field=BinaryField()),
    }
    # A model's own fields may have these names.
    aliased = {f"logpipe_{name}": columns[name] for name in outbox.COLUMNS}
    rows = rows if rows is not None else publication.concrete_model._base_manager.using(using).order_by()
    compiler = rows.annotate(**aliased).values_list(*aliased).query.get_compiler(using)
    sql, parameters = compiler.as_sql()
    return sql, tuple(parameters)


def read_from(sql: str, publication: Publication, using: str, source: str) -> str:
    """Let a SELECT of a publication's table read another relation with the same columns."""
    table = connections[using].ops.quote_name(publication.concrete_model._meta.db_table)
    plain = f" FROM {table}"
    if sql.count(plain) != 1:
        raise NotImplementedError(f"{publication.name}: {table} is not read exactly once.")
    return sql.replace(plain, f" FROM {source} AS {table}")


def insertion(using: str, select: str, parameters: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the statement that writes what is selected to the outbox, under the trace that is active."""
    connection = connections[using]
    quote = connection.ops.quote_name
    table, columns = quote(OutboxRow._meta.db_table), ", ".join(map(quote, outbox.COLUMNS))
    context = outbox.trace_context()
    if context is None:
        return f"INSERT INTO {table} ({columns}) {select}", [*parameters]
    if connection.vendor == "postgresql":
        # By name and with its type: a NULL that nobody typed is a text once it comes out of a subquery.
        chosen = ", ".join(f"traced.{column}" for column in outbox.COLUMNS) + "::bytea, trace.headers::jsonb"
        source = f"({select}) AS traced ({columns})"
    else:
        chosen, source = "traced.*, trace.headers", f"({select}) AS traced"
    sql = f"SELECT {chosen} FROM {source} CROSS JOIN (SELECT %s AS headers) AS trace"  # noqa: S608  (our own names)
    return f"INSERT INTO {table} ({columns}, headers) {sql}", [*parameters, context]


def execute(using: str, sql: str, parameters: Sequence[Any], lanes: int) -> list[tuple[Any, ...]]:
    """Run a statement that writes the outbox, wake the relay after the commit, and return what it returns."""
    with outbox.woken(using, range(lanes)), connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def chunked(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield the rows in lists of bearable length."""
    found = rows.iterator(chunk_size=ROWS_A_CHUNK)
    while chunk := list(islice(found, ROWS_A_CHUNK)):
        yield chunk
