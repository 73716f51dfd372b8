"""
The bodies of PostgreSQL triggers that capture a table's writes: one statement each, from the transition tables.

A trigger has no Python: keys, delete payloads and lanes are told by SQL over the table's own columns, to the same texts
as everywhere else (a test holds them together). The number of lanes is read from the source's row.
"""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from logpipe_signals.keys import pk_fields, target_field
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, outbox
from logpipe_signals.publishing.key_sql import (
    SHOWN_AS_NUMBER,
    SHOWN_AS_TEXT,
    TEXTS,
    UUIDS,
    WHOLE_NUMBERS,
    key_sql,
    object_id_sql,
)
from logpipe_signals.publishing.reading import fields_of, version_label
from logpipe_signals.registry import Publication, SerializerClass

OLD, NEW = "logpipe_old", "logpipe_new"
SUSPENDED, ECHO = "logpipe.suspended", "logpipe.echo"
"""Settings of the session or transaction: the names of publications that are not to be captured, each between bars."""


class Unsupported(Exception):
    """A publication needs something that no trigger can tell; the text says what."""


def body(publication: Publication, event: str) -> str:
    """
    Return what stands between BEGIN and END of the trigger for INSERT, UPDATE, DELETE or TRUNCATE.

    Raises:
        Unsupported: SQL cannot tell the key, or a lookup field.
    """
    require_support(publication)
    selects = " UNION ALL ".join(_SELECTS[event](publication))
    columns = ", ".join(f'"{name}"' for name in outbox.COLUMNS)
    name = literal(f"|{publication.name}|")
    return f"""
        IF position({name} in COALESCE(current_setting('{SUSPENDED}', true), '')
            || COALESCE(current_setting('{ECHO}', true), '')) = 0 THEN
            SELECT lanes INTO logpipe_lanes FROM "{Source._meta.db_table}" WHERE id = 1;
            IF logpipe_lanes IS NULL THEN
                RAISE EXCEPTION 'logpipe_signals has no source in this database. Run manage.py migrate logpipe_signals';
            END IF;
            INSERT INTO "{OutboxRow._meta.db_table}" ({columns}) {selects};
        END IF;
        RETURN NULL;"""  # noqa: S608  (the names are our own)


def require_support(publication: Publication) -> None:
    """
    Make sure that SQL can tell everything.

    Raises:
        Unsupported: It cannot; with what and why.
    """
    if publication.options.payload != "state":
        raise Unsupported("each change as its own message (payload='change') has to be serialised in Python")
    if publication.concrete_model._meta.parents:
        raise Unsupported("a multi-table child has columns in another table than the one that is written")
    if any(tell(publication, "default") is None for tell in (key_sql, object_id_sql)):
        raise Unsupported("the key or the primary key is no plain whole number, text or UUID of this table")
    _payload(publication, NEW)


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def _inserted(publication: Publication) -> list[str]:
    return [_row(publication, NEW, Operation.UPSERT) + f" FROM {NEW}"]


def _updated(publication: Publication) -> list[str]:
    pk = _quoted(pk_fields(publication.concrete_model)[0])
    both = f"FROM {OLD} JOIN {NEW} ON {OLD}.{pk} = {NEW}.{pk}"
    changed = _row(publication, NEW, Operation.UPSERT) + f" FROM {NEW}"
    if publication.options.watch is not None:
        changed += f" LEFT JOIN {OLD} ON {OLD}.{pk} = {NEW}.{pk}" + _watched(publication, publication.options.watch)
    selects = [changed]
    if before.key_may_change(publication):
        column = _quoted(publication.key_column)
        retracted = _row(publication, OLD, Operation.RETRACT)
        selects.insert(0, f"{retracted} {both} WHERE {OLD}.{column} <> {NEW}.{column}")
    if publication.options.delete != "ignore":
        gone = f" FROM {OLD} WHERE NOT EXISTS (SELECT 1 FROM {NEW} WHERE {NEW}.{pk} = {OLD}.{pk})"  # noqa: S608
        selects.append(_row(publication, OLD, Operation.DELETE) + gone)
    return selects


def _deleted(publication: Publication) -> list[str]:
    return [_row(publication, OLD, Operation.DELETE) + f" FROM {OLD}"]


def _truncated(publication: Publication) -> list[str]:
    table = publication.concrete_model._meta.db_table
    return [_row(publication, OLD, Operation.DELETE) + f' FROM "{table}" AS {OLD}']


_SELECTS = {"INSERT": _inserted, "UPDATE": _updated, "DELETE": _deleted, "TRUNCATE": _truncated}


def _watched(publication: Publication, watch: tuple[str, ...]) -> str:
    fields: list[Any] = [publication.concrete_model._meta.get_field(name) for name in watch]
    columns = {_quoted(field) for field in fields if field.concrete and not field.many_to_many}
    columns |= {_quoted(publication.key_column), _quoted(pk_fields(publication.concrete_model)[0])}
    return " WHERE " + " OR ".join(f"{NEW}.{column} IS DISTINCT FROM {OLD}.{column}" for column in sorted(columns))


def _row(publication: Publication, relation: str, operation: Operation) -> str:
    key = f"{relation}.{_quoted(publication.key_column)}::text"
    object_id = f"{relation}.{_quoted(pk_fields(publication.concrete_model)[0])}::text"
    topic = literal(f"{publication.topic}:")
    lane = (
        f"MOD(('x' || LEFT(MD5({topic} || COALESCE(NULLIF({key}, ''), {object_id})), 8))::bit(32)::bigint, "
        "logpipe_lanes)::smallint"
    )
    payload = "NULL::bytea" if operation == Operation.UPSERT else _payload(publication, relation)
    return f"SELECT {literal(publication.name)}, {object_id}, {key}, {lane}, {literal(operation.value)}, {payload}"


def _payload(publication: Publication, relation: str) -> str:
    """Return the JSON of `reading.delete_payload` in SQL."""
    members = []
    for serializer_class in publication.serializer_classes:
        pairs = ", ".join(
            f"{literal(name)}, {_shown(publication, serializer_class, name, relation)}"
            for name in publication.lookup_fields
        )
        members.append(f"{literal(version_label(serializer_class))}, jsonb_build_object({pairs})")
    return f"convert_to(jsonb_build_object({', '.join(members)})::text, 'UTF8')"


def _shown(publication: Publication, serializer_class: SerializerClass, name: str, relation: str) -> str:
    field = fields_of(serializer_class).get(name)
    meta: Any = publication.concrete_model._meta
    columns = {key: column for column in meta.concrete_fields for key in (column.name, column.attname)} | {
        "pk": meta.pk
    }
    column = columns.get(str(getattr(field, "source", "")))
    kind = target_field(column).get_internal_type() if column is not None else ""
    value = f"{relation}.{_quoted(column)}" if column is not None else ""
    plain_related = type(field) is serializers.PrimaryKeyRelatedField and field.pk_field is None
    if kind in WHOLE_NUMBERS and (plain_related or type(field) in SHOWN_AS_NUMBER):
        return value
    if kind in TEXTS and (plain_related or type(field) in SHOWN_AS_TEXT):
        return value
    if kind in UUIDS and (plain_related or type(field) in (serializers.UUIDField, *SHOWN_AS_TEXT)):
        return f"{value}::text"
    raise Unsupported(f"the lookup field {name!r} is no plain whole number, text or UUID of this table")


def _quoted(column: Any) -> str:
    return json.dumps(str(column.column), ensure_ascii=False)
