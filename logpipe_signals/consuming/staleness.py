"""
The staleness guard: a record older than what was applied for its identity, within its source, is dropped.

So a relay that was frozen, a replay, or partitions that were added can neither resurrect nor regress a row. One
set-wise read and one set-wise write a batch, in the transaction of the rows; what they touch is locked until its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from logpipe_signals.consuming.incoming import Incoming, storable, stored_identity
from logpipe_signals.models.offsets import AppliedSequence

RETRACT = "retract"
LARGEST_WRITE = 4000
COLUMNS = ("digest", "identity", "deleted", "message_key", "applied_at", "sequence")


@dataclass(kw_only=True, slots=True)
class Mark:
    """What was applied last for an identity, as far as this batch knows."""

    sequence: int
    key: str
    deleted: bool = False
    identity: str = ""
    moved: bool = False


def find_stale(batch: Sequence[Incoming], *, group: str, alias: str) -> set[int]:
    """
    Return the `id()` of each record that is stale, and remember the others as applied.

    Called in the transaction that applies them, after the position moved.
    """
    guarded = [(digest_of(each, group), each) for each in batch if is_guarded(each)]
    if not guarded:
        return set()
    marks = _read({digest for digest, _ in guarded}, alias)
    stale = {id(each) for digest, each in guarded if not _pass(digest, each, marks)}
    moved = {digest: mark for digest, mark in marks.items() if mark.moved}
    overtaken = moved.keys() - _write(moved, alias) if moved else set()
    return stale | {id(each) for digest, each in guarded if digest in overtaken}


def is_guarded(incoming: Incoming) -> bool:
    """Tell whether a record carries what the guard needs, and its subscription wants it."""
    meta = incoming.meta
    return bool(meta.sequence and meta.source and meta.identity and incoming.route.options.guard)


def digest_of(incoming: Incoming, group: str) -> UUID:
    """Return the short name of (group, source, topic, identity)."""
    parts = (group, incoming.meta.source, incoming.record.topic, incoming.meta.identity)
    text = "\x00".join(parts).encode("utf-8", "backslashreplace")
    return UUID(bytes=hashlib.blake2b(text, digest_size=16).digest())


def _pass(digest: UUID, incoming: Incoming, marks: dict[UUID, Mark]) -> bool:
    """Tell whether a record is new enough, and take note of it if so. Equal is: versions leave from one read."""
    mark, sequence, key = marks.get(digest), incoming.meta.sequence, storable(incoming.record.key_text)
    older = mark is not None and sequence < mark.sequence
    if incoming.meta.operation == RETRACT:
        # It is about a key, not about the row: stale only where the row has come back to that key since.
        return not (mark is not None and older and mark.key == key)
    if older:
        return False
    if mark is None or sequence > mark.sequence or mark.deleted != incoming.is_delete:
        identity = stored_identity(incoming.identity)
        marks[digest] = Mark(sequence=sequence, key=key, deleted=incoming.is_delete, identity=identity, moved=True)
    return True


def _read(digests: Iterable[UUID], alias: str) -> dict[UUID, Mark]:
    """Read and lock what is known, in one order for everybody."""
    rows = AppliedSequence.objects.using(alias).filter(digest__in=digests).order_by("digest").select_for_update()
    found = rows.values_list("digest", "sequence", "message_key", "deleted")
    return {digest: Mark(sequence=sequence, key=key, deleted=deleted) for digest, sequence, key, deleted in found}


# --- the write: newer wins, also against a row that was not there yet when it was read --------------------------------


def _write(marks: Mapping[UUID, Mark], alias: str) -> set[UUID]:
    """Store the marks that are not older than what is stored by now, and return the digests of those."""
    ordered = sorted(marks.items())
    written: set[UUID] = set()
    for start in range(0, len(ordered), LARGEST_WRITE):
        written |= _write_some(ordered[start : start + LARGEST_WRITE], alias)
    return written


def _write_some(marks: Sequence[tuple[UUID, Mark]], alias: str) -> set[UUID]:
    connection = connections[alias]
    fields: list[Any] = [AppliedSequence._meta.get_field(name) for name in COLUMNS]
    now = timezone.now()
    rows = [(digest, m.identity, m.deleted, m.key, now, m.sequence) for digest, m in marks]
    values = [f.get_db_prep_save(value, connection) for row in rows for f, value in zip(fields, row, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_upsert(connection, len(rows)), values)
        if connection.vendor != "mysql":
            return {fields[0].to_python(digest) for (digest,) in cursor.fetchall()}
    stored = _read([digest for digest, _ in marks], alias)
    return {digest for digest, mark in marks if stored[digest].sequence <= mark.sequence}


def _upsert(connection: BaseDatabaseWrapper, rows: int) -> str:
    """Return the statement that writes so many rows where they are not older; with RETURNING, where there is that."""
    quote = connection.ops.quote_name
    table = quote(AppliedSequence._meta.db_table)
    digest, *others = (quote(name) for name in COLUMNS)
    sequence = others[-1]
    row = f"({', '.join(['%s'] * len(COLUMNS))})"
    insert = f"INSERT INTO {table} ({digest}, {', '.join(others)}) VALUES {', '.join([row] * rows)}"  # noqa: S608  (names of our own, values as parameters)
    if connection.vendor == "mysql":
        # Assigned from left to right: the sequence, which decides, comes last.
        newer = (f"{c} = IF(VALUES({sequence}) >= {sequence}, VALUES({c}), {c})" for c in others)
        return f"{insert} ON DUPLICATE KEY UPDATE {', '.join(newer)}"
    newer = (f"{c} = excluded.{c}" for c in others)
    return (
        f"{insert} ON CONFLICT ({digest}) DO UPDATE SET {', '.join(newer)} "
        f"WHERE {table}.{sequence} <= excluded.{sequence} RETURNING {table}.{digest}"
    )
