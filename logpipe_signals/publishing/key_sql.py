"""
Keys in SQL: expressions over a publication's own columns that give the very texts capture writes in Python.

They exist where the text of a column is the text of its value (whole numbers, text, UUIDs) and the serializer shows the
value as it is. For everything else (a composite primary key, a key behind a method, a field with a value of its own)
there is None, and only Python can tell.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from django.db import connections, models
from django.db.models import Case, F, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Concat, Length, NullIf, Substr
from django.db.models.lookups import Exact
from rest_framework import serializers

from logpipe_signals.keys import pk_fields, target_field
from logpipe_signals.registry import Publication

Column: TypeAlias = "models.Field[Any, Any]"

WHOLE_NUMBERS = frozenset(
    f"{size}{kind}"
    for kind, sizes in (
        ("AutoField", ("", "Big", "Small")),
        ("IntegerField", ("", "Big", "Small", "Positive", "PositiveBig", "PositiveSmall")),
    )
    for size in sizes
)
TEXTS = frozenset(["CharField", "SlugField", "TextField"])
UUIDS = frozenset(["UUIDField"])
SHOWN_AS_NUMBER = (serializers.IntegerField, getattr(serializers, "BigIntegerField", serializers.IntegerField))
SHOWN_AS_TEXT = (serializers.CharField, serializers.EmailField, serializers.SlugField, serializers.URLField)


def object_id_sql(publication: Publication, using: str) -> Combinable | None:
    """Return the outbox's text of the primary key (`keys.encode_pk`), or None."""
    fields = pk_fields(publication.model)
    if len(fields) > 1 or _kind(fields[0]) is None:
        return None
    return Cast(F(fields[0].attname), TextField())


def key_sql(publication: Publication, using: str) -> Combinable | None:
    """Return the message key's text, or None."""
    column = publication.key_column
    if column is None or len(pk_fields(publication.model)) > 1 or column.null:
        return None
    kind = _kind(column)
    if kind is None or not _shown_as_it_is(publication, column, kind):
        return None
    text = Cast(F(column.attname), TextField())
    return _with_dashes(text) if kind in UUIDS and not connections[using].features.has_native_uuid_field else text


def lane_key_sql(key: Any, object_id: Any, using: str) -> Any:
    """Return what the lane is chosen by, as `Intent.lane_key` does: the key, or the primary key where that is empty."""
    if connections[using].vendor == "mysql":
        # There ' ' = '', and so is any text of characters that its collation ignores.
        return Case(When(Exact(Length(key), 0), then=object_id), default=key, output_field=TextField())
    return Coalesce(NullIf(key, Value("")), object_id, output_field=TextField())


def _kind(column: Column) -> str | None:
    """Return the kind of a column whose text is its value's text; fields of other packages may do as they like."""
    field = target_field(column)
    kind = field.get_internal_type()
    known = type(field).__module__.startswith("django.db.models.")
    return kind if known and kind in WHOLE_NUMBERS | TEXTS | UUIDS else None


def _shown_as_it_is(publication: Publication, column: Column, kind: str) -> bool:
    name = publication.key_field
    if name is None:
        return True
    field = publication.serializer_classes[0]().fields[name]
    if type(field) is serializers.PrimaryKeyRelatedField:
        return field.pk_field is None and target_field(column).primary_key
    if type(field) is serializers.UUIDField:
        return kind in UUIDS and field.uuid_format == "hex_verbose"
    if type(field) in SHOWN_AS_NUMBER:
        return kind in WHOLE_NUMBERS
    return type(field) in SHOWN_AS_TEXT


def _with_dashes(text: Combinable) -> Combinable:
    """Return a UUID as the wire has it, where the column keeps 32 hex digits."""
    parts = [Substr(text, start, length) for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
    dashed: list[Any] = [parts[0]]
    for part in parts[1:]:
        dashed += [Value("-"), part]
    return Concat(*dashed, output_field=TextField())
