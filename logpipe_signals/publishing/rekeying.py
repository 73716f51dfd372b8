"""
A key that may change, in one statement: the locked row's old key is retracted if it differs, and the row is published.

    WITH logpipe_old AS (SELECT ... FROM person WHERE id = 5 FOR UPDATE)
    INSERT INTO outbox SELECT retraction FROM logpipe_old WHERE old key <> new key UNION ALL SELECT the upsert

It is written before the row is, with the key that the row will have. A receiver of pre_save may still choose another
key; then `corrections` adds what that one needs. Where SQL cannot tell keys or lookup fields, the row is read instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections, models
from django.db.models import BinaryField, Func, TextField, Value
from django.db.models.functions import Concat
from rest_framework import serializers

from logpipe_signals.keys import lane_of, pk_fields, target_field
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, outbox, setwise
from logpipe_signals.publishing.key_sql import SHOWN_AS_NUMBER, WHOLE_NUMBERS, key_sql, object_id_sql
from logpipe_signals.publishing.reading import fields_of, version_label
from logpipe_signals.registry import Publication, SerializerClass

VENDORS = ("postgresql", "sqlite")
"""Elsewhere a row that an INSERT reads is locked in a way that two savers of one row deadlock over."""
OLD = "logpipe_old"


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """The prepared halves: reading the old row, and the retractions from it, each with its parameters so far."""

    old: str
    returning: str
    """Tells whether the old row was there; empty where nobody can have come in between."""
    retractions: tuple[tuple[Publication, str, tuple[Any, ...]], ...]


def serves(own: tuple[Publication, ...], using: str) -> bool:
    """Tell whether this is the way for all publications of a table."""
    if connections[using].vendor not in VENDORS:
        return False
    return any(map(before.key_may_change, own)) and all(_is_served(publication, using) for publication in own)


def write(own: tuple[Publication, ...], instance: models.Model, using: str) -> tuple[list[outbox.Intent], bool]:
    """Write what a save of this instance publishes, old keys retracted; return that, and whether the row is there."""
    upserts = [outbox.upsert(publication, instance, using) for publication in own]
    found = _write(own, instance, using, upserts)
    if not found and not instance._state.adding:
        # Who waits for a row's lock while it is deleted and made again does not see the new one: a second look does.
        row = before.rows_of(own[0], using).filter(pk=instance.pk)
        found = before.locked(row, using).first() is not None
        if found:
            _write(own, instance, using, upserts, retractions_only=True)
    return upserts, found


def _write(
    own: tuple[Publication, ...],
    instance: models.Model,
    using: str,
    upserts: Sequence[outbox.Intent],
    *,
    retractions_only: bool = False,
) -> bool:
    """Write retractions and upserts; tell whether the old row was there, which only one who writes upserts knows."""
    lanes = outbox.lane_count(using)
    keys = {intent.publication: intent.key for intent in upserts}
    pk = pk_fields(own[0].concrete_model)[0]
    parameters: list[Any] = [pk.get_db_prep_value(instance.pk, connections[using])]
    statement = _statement(own, using, lanes)
    branches = []
    for publication, select, own_parameters in statement.retractions:
        branches.append(f"SELECT * FROM ({select}) AS retraction WHERE logpipe_key <> %s")  # noqa: S608
        parameters += [*own_parameters, keys[publication]]
    for intent in () if retractions_only else upserts:
        branches.append("SELECT %s, %s, %s, %s, %s, NULL")
        lane = lane_of(intent.publication.topic, intent.lane_key, lanes)
        parameters += [intent.publication.name, intent.object_id, intent.key, lane, str(intent.operation)]
    insertion, parameters = setwise.insertion(using, " UNION ALL ".join(branches), parameters)
    returned = setwise.execute(using, f"{statement.old} {insertion} {statement.returning}", parameters, lanes)
    return not statement.returning or bool(returned and returned[0][0])


def corrections(predicted: Sequence[outbox.Intent], actual: Sequence[outbox.Intent]) -> list[outbox.Intent]:
    """Return what has to be added where a row got another key than was predicted; the relay passes over owned keys."""
    added = []
    for was, intent in zip(predicted, actual, strict=True):
        if was.key != intent.key:
            added += [_retraction_of(was), intent]
    return added


def _is_served(publication: Publication, using: str) -> bool:
    options = publication.options
    if options.payload != "state" or options.watch is not None:
        return False
    if len(pk_fields(publication.concrete_model)) > 1 or publication.concrete_model._meta.parents:
        return False
    if not before.key_may_change(publication):
        return True
    by_key_alone = publication.lookup_fields == (publication.key_field,)
    column = publication.key_column
    chosen_by_field = column is not None and type(column).pre_save is not models.Field.pre_save
    in_sql = key_sql(publication, using) is not None and object_id_sql(publication, using) is not None
    return by_key_alone and in_sql and not chosen_by_field


def _statement(own: tuple[Publication, ...], using: str, lanes: int) -> _Statement:
    cached = (own, using, lanes)
    if cached not in _statements:
        _statements[cached] = _make_statement(own, using, lanes)
    return _statements[cached]


_statements: dict[tuple[tuple[Publication, ...], str, int], _Statement] = {}


def _make_statement(own: tuple[Publication, ...], using: str, lanes: int) -> _Statement:
    connection = connections[using]
    quote = connection.ops.quote_name
    table = own[0].concrete_model._meta.db_table
    pk = pk_fields(own[0].concrete_model)[0]
    changing = [publication for publication in own if before.key_may_change(publication)]
    columns = {str(pk.column), *(str(p.key_column.column) for p in changing if p.key_column is not None)}
    lock = "FOR NO KEY UPDATE" if connection.features.has_select_for_no_key_update else ""
    # Materialized: no condition may move in before the lock.
    old = (
        f"WITH {OLD} AS {'MATERIALIZED' if lock else ''} (SELECT {', '.join(map(quote, sorted(columns)))} "  # noqa: S608
        f"FROM {quote(table)} WHERE {quote(str(pk.column))} = %s {lock})"
    )
    retractions = []
    for publication in changing:
        select, parameters = setwise.select(
            publication, using, Operation.RETRACT, lanes=lanes, payload=_payload_sql(publication, using)
        )
        retractions.append((publication, setwise.read_from(select, publication, using, OLD), parameters))
    returning = f"RETURNING (SELECT COUNT(*) FROM {OLD})" if lock else ""  # noqa: S608
    return _Statement(old=old, returning=returning, retractions=tuple(retractions))


def _payload_sql(publication: Publication, using: str) -> Any:
    """Return the JSON of `reading.delete_payload` in SQL."""
    postgresql = connections[using].vendor == "postgresql"
    key = key_sql(publication, using)
    quoted = Func(key, template="TO_JSON(%(expressions)s)::text" if postgresql else "JSON_QUOTE(%(expressions)s)")
    parts: list[Any] = []
    for serializer_class in publication.serializer_classes:
        start = "{" if not parts else "},"
        label, name = json.dumps(version_label(serializer_class)), json.dumps(publication.key_field)
        text = key if _is_number(publication, serializer_class) else quoted
        parts += [Value(f"{start}{label}:{{{name}:"), text]
    document = Concat(*parts, Value("}}"), output_field=TextField())
    template = "CONVERT_TO(%(expressions)s, 'UTF8')" if postgresql else "CAST(%(expressions)s AS BLOB)"
    return Func(document, template=template, output_field=BinaryField())


def _retraction_of(intent: outbox.Intent) -> outbox.Intent:
    publication = intent.publication
    members = {
        version_label(serializer_class): {
            publication.key_field: int(intent.key) if _is_number(publication, serializer_class) else intent.key
        }
        for serializer_class in publication.serializer_classes
    }
    return replace(intent, operation=Operation.RETRACT, payload=json.dumps(members).encode())


def _is_number(publication: Publication, serializer_class: SerializerClass) -> bool:
    field = fields_of(serializer_class)[publication.key_field]
    if isinstance(field, serializers.PrimaryKeyRelatedField) and publication.key_column is not None:
        return target_field(publication.key_column).get_internal_type() in WHOLE_NUMBERS
    return isinstance(field, SHOWN_AS_NUMBER)
