"""The SQL of a claim: some of the oldest outbox rows of each lane, each lane from where it was read to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connections

from logpipe_signals import signals
from logpipe_signals.models import OutboxRow
from logpipe_signals.models.expressions import array_text
from logpipe_signals.publishing.claimed import ClaimedRow


class Scope(NamedTuple):
    """What a claim reads: each lane from its own position, `share` rows of each at most, `limit` in all."""

    priority: int
    positions: Sequence[tuple[int, int]]
    names: Sequence[str]
    hidden: Sequence[int]
    share: int
    limit: int
    include_waiting: bool = False


def read(using: str, scope: Scope) -> list[ClaimedRow]:
    """Return the rows of this scope, the oldest first."""
    connection = connections[using]
    build = _postgresql if connection.vendor == "postgresql" else partial(_portable, connection.vendor)
    sql, parameters = build(scope)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        found = cursor.fetchall()
    return sorted((_row(values) for values in found), key=attrgetter("id"))


_STORED = tuple(name for name in ClaimedRow._fields if name not in ("waiting", "age_seconds"))
_TABLE = OutboxRow._meta.db_table
_NOW = {
    "postgresql": "CLOCK_TIMESTAMP()",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",
    "mysql": "UTC_TIMESTAMP(6)",
}

_AGE = {
    "postgresql": "CASE WHEN priority = 0 THEN EXTRACT(EPOCH FROM CLOCK_TIMESTAMP() - created_at)::float8 END",
    "sqlite": "CASE WHEN priority = 0 THEN (JULIANDAY('now') - JULIANDAY(created_at)) * 86400.0 END",
    "mysql": "CASE WHEN priority = 0 THEN TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) / 1e6 END",
}

Query = tuple[str, list[Any]]


def _columns(vendor: str) -> str:
    # Qualified: `key` alone is a reserved word of MariaDB's, and no quotes are the same on every database.
    stored = ", ".join(f"pending.{name}" for name in _STORED)
    age = _AGE[vendor] if signals.batch_relayed.has_listeners() else "NULL"
    return f"{stored}, (retry_at IS NOT NULL AND retry_at > {_NOW[vendor]}) AS waiting, {age} AS age_seconds"


def _readiness(vendor: str, scope: Scope) -> str:
    return "" if scope.include_waiting else f"AND (retry_at IS NULL OR retry_at <= {_NOW[vendor]})"


def _postgresql(scope: Scope) -> Query:
    lanes, after = zip(*scope.positions, strict=True)
    sql = f"""
        SELECT found.*
        FROM unnest(%s::int[], %s::bigint[]) WITH ORDINALITY AS held (in_lane, after, turn),
        LATERAL (
            SELECT {_columns("postgresql")} FROM {_TABLE} AS pending
            WHERE lane = in_lane AND priority = %s AND id > after {_readiness("postgresql", scope)}
            AND publication = ANY(%s) AND NOT id = ANY(%s::bigint[])
            ORDER BY id LIMIT %s
        ) AS found
        ORDER BY turn, found.id LIMIT %s"""  # noqa: S608  (names of our own columns and table)
    hidden, names = array_text(scope.hidden), list(scope.names)
    return sql, [array_text(lanes), array_text(after), scope.priority, names, hidden, scope.share, scope.limit]


def _portable(vendor: str, scope: Scope) -> Query:
    """One branch a lane: each reads its own range of the index, whatever stands in front of the others."""
    hide = f"AND id NOT IN ({_marks(scope.hidden)})" if scope.hidden else ""
    branches, parameters = [], []
    for lane, after in scope.positions:
        branches.append(f"""SELECT * FROM (
            SELECT {_columns(vendor)} FROM {_TABLE} AS pending
            WHERE lane = %s AND priority = %s AND id > %s {_readiness(vendor, scope)}
            AND publication IN ({_marks(scope.names)}) {hide}
            ORDER BY id LIMIT %s) AS lane_{int(lane)}""")  # noqa: S608  (the same)
        parameters += [lane, scope.priority, after, *scope.names, *scope.hidden, scope.share]
    return " UNION ALL ".join(branches) + " LIMIT %s", [*parameters, scope.limit]


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _row(values: Sequence[Any]) -> ClaimedRow:
    row = ClaimedRow(*values)
    if row.payload is None and row.headers is None:
        return row
    headers = json.loads(row.headers) if isinstance(row.headers, str) else row.headers
    return row._replace(payload=bytes(row.payload) if row.payload is not None else None, headers=headers)
