"""
Whether and how a serializer's records can be applied set-wise.

A serializer opts in with `bulk=True` on its subscription, or with `lookup_instances(messages)`, which returns the row
of each message, or None, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers

from logpipe_signals.consuming.kinds import model_of
from logpipe_signals.consuming.lookup import Lookup
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.keys import target_field
from logpipe_signals.pydantic_serializers import is_pydantic
from logpipe_signals.registry import SerializerClass

_is_usual_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
RowKey = tuple[str, ...]
LookupMany = Callable[[Sequence[Mapping[str, Any]]], Sequence[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class BulkPlan:
    """
    How a serializer's records are applied set-wise.

    names:    The message's members by which a row is found, and `columns` the model fields they are.
    updates:  The model fields that an existing row takes over.
    is_unique: Whether the database holds the columns unique, so that one upsert does everything.
    reads_rows: Whether existing rows have to be read first: an INSERT of the message alone would lack a column, or the
        serializer's own code may look at its `instance`.
    has_other_keys: Whether the serializer writes columns that the database holds unique besides.
    optional: The message's members that may be left out; their columns then stay as they are.
    """

    serializer_class: SerializerClass
    model: type[models.Model]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    updates: tuple[str, ...]
    is_unique: bool
    reads_rows: bool
    lookup_many: LookupMany | None
    has_other_keys: bool
    optional: frozenset[str]

    def is_partial(self, message: Mapping[str, Any]) -> bool:
        """Tell whether a message leaves something out that an existing row keeps."""
        return not self.optional <= message.keys()

    @cached_property
    def fields(self) -> list[Any]:
        """Return the model fields by which a row is found."""
        return [self.model._meta.get_field(column) for column in self.columns]

    def key_of(self, message: Mapping[str, Any]) -> RowKey:
        """Return what tells rows apart within a batch: the lookup's values as their columns' text."""
        return tuple([text(message.get(name)) for text, name in zip(self._texts, self.names, strict=True)])

    def key_of_row(self, row: Any) -> RowKey:
        """Return the same of a row."""
        return tuple([text(getattr(row, f.attname)) for text, f in zip(self._texts, self.fields, strict=True)])

    @cached_property
    def _texts(self) -> list[Callable[[Any], str]]:
        return [text_of(target_field(f)) for f in self.fields]


def text_of(field: models.Field[Any, Any]) -> Callable[[Any], str]:
    """Return what makes the text of a value as a column would have it; of one that it cannot have, its own."""
    to_python = field.to_python
    is_plain = _is_usual_uuid if isinstance(field, models.UUIDField) else lambda value: None

    def text(value: Any) -> str:
        if type(value) is str and is_plain(value):
            return value  # To make a UUID of each, and text of it again, would take longer than all else here.
        try:
            return str(to_python(value))
        except (DjangoValidationError, TypeError, ValueError):
            return str(value)

    return text


def opts_in(serializer_class: SerializerClass, *, bulk: bool) -> bool:
    """Tell whether a subscription wants bulk apply."""
    return bulk or (isinstance(serializer_class, type) and hasattr(serializer_class, "lookup_instances"))


@lru_cache(maxsize=256)
def plan_for(serializer_class: SerializerClass) -> BulkPlan:
    """
    Return how a serializer is applied in bulk.

    Raises:
        DeclarationError: It cannot be, and why.
    """
    model = model_of(serializer_class)
    if model is None or is_pydantic(serializer_class) or model._meta.get_parent_list():
        raise _impossible(serializer_class, "it has to be a ModelSerializer of a model without multi-table parents")
    lookup = Lookup.of(serializer_class)
    serializer = serializer_class()
    written = _written_columns(serializer, model)
    names = _names(lookup, serializer)
    columns = tuple(serializer.fields[name].source for name in names)
    lookup_many = getattr(serializer_class, "lookup_instances", None)
    if lookup_many is None and not (columns and set(columns) <= written):
        raise _impossible(serializer_class, "KEY_FIELD or lookup_instance has to name fields of the serializer")
    return BulkPlan(
        serializer_class=serializer_class,
        model=model,
        names=names,
        columns=columns,
        updates=_updates(model, written, columns),
        is_unique=set(columns) <= written and _is_unique(model, columns),
        reads_rows=not _insertable(model, written) or _has_a_say(serializer),
        lookup_many=lookup_many,
        has_other_keys=_has_other_keys(model, written, columns),
        optional=_optional(serializer),
    )


def _names(lookup: Lookup, serializer: serializers.Serializer) -> tuple[str, ...]:
    named = tuple(name for name in lookup.names if name in serializer.fields and name in lookup.required)
    if named:
        return named
    return (lookup.key_field,) if lookup.key_field is not None and lookup.key_field in serializer.fields else ()


def _written_columns(serializer: serializers.Serializer, model: type[models.Model]) -> set[str]:
    """Return the model fields that the serializer writes; each has to be a plain column."""
    columns = {field.name: field for field in model._meta.concrete_fields}
    written = set()
    for name, field in serializer.fields.items():
        if field.read_only:
            continue
        if field.source not in columns or isinstance(field, serializers.BaseSerializer):
            raise _impossible(type(serializer), f"its field {name!r} is no column of {model.__name__}")
        if isinstance(field, serializers.HyperlinkedRelatedField):
            raise _impossible(type(serializer), f"its field {name!r} is a hyperlink")
        written.add(field.source)
    return written


def _optional(serializer: serializers.Serializer) -> frozenset[str]:
    fields = serializer.fields.items()
    return frozenset(name for name, f in fields if not (f.read_only or f.required) and f.default is serializers.empty)


def _has_a_say(serializer: serializers.Serializer) -> bool:
    """Tell whether validation runs code of the class, which may ask for the row."""
    cls, usual = type(serializer), serializers.ModelSerializer
    names = ("run_validation", "to_internal_value", "validate")
    if any(getattr(cls, name) is not getattr(usual, name) for name in names):
        return True
    return any(hasattr(cls, f"validate_{name}") for name in serializer.fields)


def _updates(model: type[models.Model], written: set[str], columns: Sequence[str]) -> tuple[str, ...]:
    stamped = {f.name for f in model._meta.concrete_fields if getattr(f, "auto_now", False)}
    keys = {*columns, *(f.name for f in model._meta.concrete_fields if f.primary_key)}
    return tuple(sorted((written | stamped) - keys))


def _is_unique(model: type[models.Model], columns: Sequence[str]) -> bool:
    if len(columns) == 1 and getattr(model._meta.get_field(columns[0]), "unique", False):
        return True
    together = [set(names) for names in model._meta.unique_together]
    constraints = [set(c.fields) for c in model._meta.total_unique_constraints]
    return set(columns) in [*together, *constraints]


def _has_other_keys(model: type[models.Model], written: set[str], columns: Sequence[str]) -> bool:
    constraints = [c for c in model._meta.constraints if isinstance(c, models.UniqueConstraint)]
    keys = [
        *({f.name} for f in model._meta.concrete_fields if f.unique),
        *map(set, model._meta.unique_together),
        *(set(c.fields) for c in constraints if c.fields),
    ]
    by_expressions = any(not c.fields for c in constraints)
    return by_expressions or any(key & written and key != set(columns) for key in keys)


def _insertable(model: type[models.Model], written: set[str]) -> bool:
    """Tell whether a row made of the written columns alone satisfies every NOT NULL."""
    return all(
        field.name in written
        or field.null
        or isinstance(field, models.AutoField)
        or field.has_default()
        or field.has_db_default()
        or field.empty_strings_allowed
        or getattr(field, "auto_now", False)
        or getattr(field, "auto_now_add", False)
        for field in model._meta.concrete_fields
    )


def _impossible(serializer_class: SerializerClass, reason: str) -> DeclarationError:
    return DeclarationError(
        f"{serializer_class.__name__} cannot be applied in bulk: {reason}. Change that, or leave bulk apply out."
    )
