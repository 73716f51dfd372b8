"""
The staleness guard: a record older than what was applied for its identity, within its source, is dropped.

So a relay that was frozen, a replay, or partitions that were added can neither resurrect nor regress a row. At most one
set-wise read and one set-wise write a batch, in the transaction of the rows and before them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from logpipe_signals.consuming.incoming import Incoming, storable, stored_identity
from logpipe_signals.models.expressions import array_text, text_array, with_pks
from logpipe_signals.models.offsets import AppliedSequence

Digest = str
"""The text of a UUID: to compare, sort and send a thousand of these takes a fraction of what UUID objects take."""
RETRACT = "retract"
LARGEST_WRITE = 4000
COLUMNS = ("digest", "identity", "deleted", "message_key", "applied_at", "sequence")


@dataclass(kw_only=True, slots=True)
class Mark:
    """What was applied last for an identity, as far as this batch knows. `moved`: it has to be written."""

    sequence: int
    key: str
    deleted: bool = False
    identity: str = ""
    moved: bool = False


@dataclass(frozen=True, kw_only=True)
class Judged:
    """
    What the guard says of a batch.

    stale:    The `id()` of each record that is older than what was applied.
    moved_on: By its `id()`, where the row of a retraction stands by now, if that is known: the key of a newer record.
    """

    stale: Set[int] = frozenset()
    moved_on: Mapping[int, str] = field(default_factory=dict)


def judge(batch: Sequence[Incoming], *, group: str, alias: str) -> Judged:
    """
    Find what is stale, and remember the rest as applied.

    Called in the transaction that applies them, after the position moved. The write decides, and locks what it writes:
    what is newer by then is not written, and its records are judged once more by what is there. Only where an identity
    has several records here, or a key is given up, does it have to be known before.
    """
    guarded = [(digest_of(each, group), each) for each in batch if is_guarded(each)]
    if not guarded:
        return Judged()
    of_keys = {id(each): digest_of(each, group, of_key=True) for _, each in guarded if _is_about_a_key(each)}
    marks = _read(_to_be_read(guarded, of_keys) | set(of_keys.values()), alias)
    verdict = _Verdict(of_keys=of_keys, marks=marks)
    for digest, each in guarded:
        verdict.judge(digest, each)
    if overtaken := _write_moved(marks, alias):
        late = [(digest, each) for digest, each in guarded if verdict.written_as.get(id(each)) in overtaken]
        asked = {digest for digest, _ in late} | {of_keys[id(each)] for _, each in late if id(each) in of_keys}
        marks.update(_read(asked, alias, lock=True))
        for digest, each in late:
            verdict.judge(digest, each)
        _write_moved(marks, alias)
    return Judged(stale=verdict.stale, moved_on=verdict.moved_on)


@dataclass(kw_only=True)
class _Verdict:
    """What is found while records are gone through in their order."""

    of_keys: Mapping[int, Digest]
    marks: dict[Digest, Mark]
    stale: set[int] = field(default_factory=set)
    moved_on: dict[int, str] = field(default_factory=dict)
    written_as: dict[int, Digest] = field(default_factory=dict)
    """By its `id()`, which mark says that a record was applied."""

    def judge(self, digest: Digest, each: Incoming) -> None:
        """Let a record pass, or not. A delete that is late for its row is still one of the key that it names."""
        if not _is_retraction(each) and _pass(digest, each, self.marks):
            self.written_as[id(each)] = digest
        elif (of_key := self.of_keys.get(id(each))) and _pass_retraction(digest, of_key, each, self.marks):
            self.written_as[id(each)] = of_key
            self.moved_on.update(_moved_on(each, self.marks.get(digest)))
        else:
            self.stale.add(id(each))


def is_guarded(incoming: Incoming) -> bool:
    """Tell whether a record carries what the guard needs, and its subscription wants it."""
    meta = incoming.meta
    return bool(meta.sequence and meta.source and meta.identity and incoming.route.options.guard)


def digest_of(incoming: Incoming, group: str, *, of_key: bool = False) -> Digest:
    """Return the short name of (group, source, topic, identity), or of a key that this identity gave up."""
    parts: tuple[str, ...] = (group, incoming.meta.source, incoming.record.topic, incoming.meta.identity)
    return digest_for(*parts, RETRACT, incoming.record.key_text) if of_key else digest_for(*parts)


def digest_for(*parts: str) -> Digest:
    """Return the short name of these: (group, source, topic, identity)."""
    text = "\x00".join(parts).encode("utf-8", "backslashreplace")
    h = hashlib.blake2b(text, digest_size=16).hexdigest()
    # A well-formed one: MariaDB's uuid column refuses bits that no version of UUIDs has.
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"


def _is_retraction(incoming: Incoming) -> bool:
    return incoming.meta.operation == RETRACT


def _is_about_a_key(incoming: Incoming) -> bool:
    """Tell whether a record takes a key back, by which its row is found."""
    return _is_retraction(incoming) or (
        incoming.is_delete and incoming.route.lookup.arguments_for_key(incoming.record.key_text) is not None
    )


def _to_be_read(guarded: Sequence[tuple[Digest, Incoming]], of_keys: Mapping[int, Digest]) -> set[Digest]:
    seen: set[Digest] = set()
    wanted: set[Digest] = set()
    for digest, each in guarded:
        if digest in seen or id(each) in of_keys:
            wanted.add(digest)
        seen.add(digest)
    return wanted


def _pass(digest: Digest, incoming: Incoming, marks: dict[Digest, Mark]) -> bool:
    """Tell whether a record is new enough, and take note of it if so. Equal is: versions leave from one read."""
    mark = marks.get(digest)
    if mark is not None and incoming.meta.sequence < mark.sequence:
        return False
    marks[digest] = _mark_of(incoming)
    return True


def _pass_retraction(digest: Digest, of_key: Digest, incoming: Incoming, marks: dict[Digest, Mark]) -> bool:
    """
    The same for a retraction, which is about a key and not about the row.

    That the row moved on makes it no older. Stale it is where the row has come back to that key since; and where the
    key was given up by a later retraction already: by now another row may have it. So is a delete that comes behind
    what its row, made again since, has been under another key: partitions have no order among each other.
    """
    mark, sequence = marks.get(digest), incoming.meta.sequence
    if mark is not None and sequence < mark.sequence and mark.key == storable(incoming.record.key_text):
        return False
    return _pass(of_key, incoming, marks)


def _moved_on(retraction: Incoming, mark: Mark | None) -> dict[int, str]:
    if mark is None or mark.deleted or mark.sequence < retraction.meta.sequence:
        return {}
    return {id(retraction): mark.key}


def _mark_of(incoming: Incoming) -> Mark:
    return Mark(
        sequence=incoming.meta.sequence,
        key=storable(incoming.record.key_text),
        deleted=incoming.is_delete,
        identity=stored_identity(incoming.identity),
        moved=True,
    )


def _read(digests: Collection[Digest], alias: str, *, lock: bool = False) -> dict[Digest, Mark]:
    if not digests:
        return {}
    known = with_pks(AppliedSequence, digests, digests, connections[alias].vendor)
    rows = AppliedSequence.objects.using(alias).filter(known)
    if lock:
        rows = rows.select_for_update()  # what is there now, and not in an older snapshot
    found = rows.values_list("digest", "sequence", "message_key", "deleted")
    return {str(digest): Mark(sequence=sequence, key=key, deleted=deleted) for digest, sequence, key, deleted in found}


# --- the write: newer wins, also against a row that was not there yet when it was read --------------------------------


def _write_moved(marks: Mapping[Digest, Mark], alias: str) -> set[Digest]:
    """Store what moved, and return the digests of which there is something newer by now."""
    moved = {digest: mark for digest, mark in marks.items() if mark.moved}
    overtaken = moved.keys() - _write(moved, alias) if moved else set()
    for mark in moved.values():
        mark.moved = False
    return overtaken


def _write(marks: Mapping[Digest, Mark], alias: str) -> set[Digest]:
    """Store the marks that are not older than what is stored by now, and return the digests of those."""
    ordered = sorted(marks.items())
    written: set[Digest] = set()
    for start in range(0, len(ordered), LARGEST_WRITE):
        written |= _write_some(ordered[start : start + LARGEST_WRITE], alias)
    return written


def _write_some(marks: Sequence[tuple[Digest, Mark]], alias: str) -> set[Digest]:
    connection = connections[alias]
    columns: list[list[Any]] = [
        [digest for digest, _ in marks],
        [mark.identity for _, mark in marks],
        [mark.deleted for _, mark in marks],
        [mark.key for _, mark in marks],
        [timezone.now()] * len(marks),
        [mark.sequence for _, mark in marks],
    ]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_insert(connection, _UNNEST) + _if_newer(connection), _as_arrays(columns))
        else:
            cursor.execute(_insert(connection, _rows(len(marks))) + _if_newer(connection), _row_by_row(columns, alias))
        told = cursor.fetchall() if connection.features.can_return_columns_from_insert else ()
    if connection.vendor == "postgresql":
        return {digest for digest, _ in told}
    to_uuid = AppliedSequence._meta.get_field("digest").to_python  # type: ignore[union-attr]
    if connection.vendor != "mysql":
        return {str(to_uuid(digest)) for digest, _ in told}
    stored = {str(to_uuid(digest)): sequence for digest, sequence in told or _locked_sequences(marks, alias)}
    return {digest for digest, mark in marks if stored[digest] <= mark.sequence}


def _locked_sequences(marks: Sequence[tuple[Digest, Mark]], alias: str) -> list[tuple[Any, int]]:
    """MySQL's INSERT tells nothing. Locked, so that a snapshot from before the write does not answer."""
    rows = AppliedSequence.objects.using(alias).filter(digest__in=[digest for digest, _ in marks])
    return list(rows.select_for_update().values_list("digest", "sequence"))


_UNNEST = (
    "SELECT d, i, g, k, %s::timestamptz, s FROM "
    "UNNEST(%s::uuid[], %s::text[], %s::boolean[], %s::text[], %s::bigint[]) AS m(d, i, g, k, s)"
)


def _as_arrays(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Write out what needs no quotes: cheaper than to let the client adapt each value."""
    digests, identities, deleted, keys, times, sequences = columns
    arrays = (array_text(digests), text_array(identities), array_text(deleted), text_array(keys), array_text(sequences))
    return [times[0], *arrays]


def _rows(count: int) -> str:
    row = f"({', '.join(['%s'] * len(COLUMNS))})"
    return f"VALUES {', '.join([row] * count)}"


def _row_by_row(columns: Sequence[Sequence[Any]], alias: str) -> list[Any]:
    fields: list[Any] = [AppliedSequence._meta.get_field(name) for name in COLUMNS]
    rows = zip(*columns, strict=True)
    connection = connections[alias]
    return [field.get_db_prep_save(value, connection) for row in rows for field, value in zip(fields, row, strict=True)]


def _insert(connection: BaseDatabaseWrapper, rows: str) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, COLUMNS))
    return f"INSERT INTO {quote(AppliedSequence._meta.db_table)} ({names}) {rows}"


def _if_newer(connection: BaseDatabaseWrapper) -> str:
    """
    Return the clause that keeps what is newer, and, where there is RETURNING, tells of it.

    PostgreSQL and SQLite tell which rows were written; MariaDB tells each row as it is then, written or not.
    """
    quote = connection.ops.quote_name
    table = quote(AppliedSequence._meta.db_table)
    digest, *others = map(quote, COLUMNS)
    sequence = others[-1]
    if connection.vendor == "mysql":
        # Assigned from left to right: the sequence, which decides, comes last.
        newer = (f"{c} = IF(VALUES({sequence}) >= {sequence}, VALUES({c}), {c})" for c in others)
        returning = f" RETURNING {digest}, {sequence}" if connection.features.can_return_columns_from_insert else ""
        return f" ON DUPLICATE KEY UPDATE {', '.join(newer)}{returning}"
    newer = (f"{c} = excluded.{c}" for c in others)
    cast = "::text" if connection.vendor == "postgresql" else ""
    return (
        f" ON CONFLICT ({digest}) DO UPDATE SET {', '.join(newer)} "
        f"WHERE {table}.{sequence} <= excluded.{sequence} RETURNING {table}.{digest}{cast}, {table}.{sequence}"
    )
