"""The subscriber's own rows, as its serializer shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from rest_framework import serializers
from rest_framework.relations import PKOnlyObject

from logpipe_signals.auditing.paths import Path, tokens_of
from logpipe_signals.auditing.tokens import MISSING, MOMENT, NUMERIC, TRIMMED, UNSORTED, key_hash, plain
from logpipe_signals.consuming.bulk_plan import text_of
from logpipe_signals.consuming.incoming import Route
from logpipe_signals.consuming.kinds import model_of
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.keys import target_field
from logpipe_signals.pydantic_serializers import is_pydantic, serializer_for
from logpipe_signals.registry import SerializerClass

ROWS_A_READ = 1000
ANYHOW = TRIMMED + NUMERIC + MOMENT + UNSORTED
AS_SENT = (serializers.ListField, serializers.DictField, serializers.JSONField, serializers.ChoiceField)
NUMBERS = (serializers.IntegerField, serializers.FloatField, serializers.DecimalField)


class NotComparable(LogPipeError):
    """A subscription's rows cannot be compared, and why."""


@dataclass(frozen=True)
class OwnRows:
    """The rows of one subscription."""

    route: Route

    # --- fields -------------------------------------------------------------------------------------------------------

    @property
    def serializer_class(self) -> SerializerClass:
        """Return what shows the rows: the subscription's serializer, or one that shows them as its model does."""
        declared = self.route.serializer_class
        return serializer_for(declared) if is_pydantic(declared) else declared  # type: ignore[arg-type]

    @property
    def fields(self) -> Mapping[str, serializers.Field]:
        """Return the fields that are compared, by their names in the message."""
        return _compared(self.route.serializer_class)  # type: ignore[arg-type]  # a class is hashable

    def loosely(self, path: Path) -> str:
        """Return what kinds of writing do not count for a member, which the subscriber's field would change."""
        field: Any = self.fields[path[0]]
        for name in path[1:]:
            field = field.fields.get(name) if isinstance(field, serializers.Serializer) else None
        return _loosely(field)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def rows(self) -> models.QuerySet[Any]:
        """Return the rows that come from this topic."""
        chosen = getattr(self.route.serializer_class, "audit_queryset", None)
        model = model_of(self.route.serializer_class)
        if chosen is not None:
            return chosen()
        if model is None:
            raise NotComparable(
                f"{self.route.serializer_class.__name__} names no model in its Meta: give it audit_queryset()."
            )
        return model._default_manager.all()

    def find(self, lookups: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the row of each lookup, or None."""
        found = self._together(lookups)
        return [row if row is not None else self._alone(lookup) for row, lookup in zip(found, lookups, strict=True)]

    def tokens(self, rows: Sequence[Any], paths: Sequence[Path]) -> list[list[str]]:
        """Return the tokens of rows; MISSING where the subscriber has no such member."""
        mine = [path if path[0] in self.fields else None for path in paths]
        shown = plain(self.serializer_class(rows, many=True).data)
        known = [path for path in mine if path is not None]
        found = []
        for data in shown:
            own = iter(tokens_of(data, known))
            found.append([MISSING if path is None else next(own) for path in mine])
        return found

    def hashes(self, rows: Sequence[Any], names: Sequence[str]) -> set[int]:
        """Return the hashes of the keys that rows show; none where the serializer does not show them."""
        fields = self.serializer_class().fields
        if any(name not in fields or fields[name].write_only for name in names):
            return set()
        return {
            key_hash(list(data.values()))
            for data in plain([{name: _shown(fields[name], row) for name in names} for row in rows])
        }

    # --- keys ---------------------------------------------------------------------------------------------------------

    def keys(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Any], str]]:
        """
        Return (hash, lookup, message key) of every row, in flat memory.

        Raises:
            NotComparable: The serializer does not show what rows are looked up by.
        """
        fields = self.serializer_class().fields
        key_field = self.route.lookup.key_field
        shown = [*names, *([key_field] if key_field in fields and key_field not in names else [])]
        hidden = [name for name in names if name not in fields or fields[name].write_only]
        if hidden or not names:
            raise NotComparable(
                f"{self.route.serializer_class.__name__} does not show {', '.join(hidden) or 'what finds a row'}: "
                "extra rows cannot be told by their keys."
            )
        for chunk in self._in_chunks():
            for data in plain([{name: _shown(fields[name], instance) for name in shown} for instance in chunk]):
                lookup = {name: data[name] for name in names}
                key = data[key_field] if key_field in data else _only(lookup)
                yield key_hash(list(lookup.values())), lookup, str(key)

    def _in_chunks(self) -> Iterator[list[Any]]:
        rows = self.rows().order_by("pk")
        chunk = list(rows[:ROWS_A_READ])
        while chunk:
            yield chunk
            chunk = list(rows.filter(pk__gt=chunk[-1].pk)[:ROWS_A_READ])

    # --- finding ------------------------------------------------------------------------------------------------------

    def _together(self, lookups: Sequence[Mapping[str, Any]]) -> list[Any]:
        many = getattr(self.route.serializer_class, "lookup_instances", None)
        if many is not None:
            return list(many(lookups))
        columns = self._columns(lookups)
        if columns is None:
            return [None] * len(lookups)
        fields: list[Any] = [self.rows().model._meta.get_field(column) for column in columns.values()]
        texts = [text_of(target_field(field)) for field in fields]
        rows = self._matching(columns, lookups)
        # Of several rows with one key the first, as `lookup_instance` has it by `first()`.
        by_key = {
            tuple(text(getattr(row, f.attname)) for text, f in zip(texts, fields, strict=True)): row
            for row in rows.order_by("-pk")
        }
        wanted = (tuple(text(each.get(name)) for text, name in zip(texts, columns, strict=True)) for each in lookups)
        return [by_key.get(key) for key in wanted]

    def _matching(self, columns: Mapping[str, str], lookups: Sequence[Mapping[str, Any]]) -> models.QuerySet[Any]:
        if len(columns) == 1:
            ((name, column),) = columns.items()
            return self.rows().filter(**{f"{column}__in": [each.get(name) for each in lookups]})
        pairs = (models.Q(**{column: each.get(name) for name, column in columns.items()}) for each in lookups)
        return self.rows().filter(reduce(or_, pairs))

    def _columns(self, lookups: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
        """Return the column of each lookup value; None where one is no plain column of the serializer."""
        model, asked = model_of(self.route.serializer_class), self.route.lookup
        if model is None or not lookups:
            return None
        fields = self.serializer_class().fields
        names = [name for name in lookups[0] if name in asked.names or name == asked.key_field]
        found = {name: fields[name].source for name in names if name in fields}
        return found if found and len(found) == len(names) and _are_columns(model, found.values()) else None

    def _alone(self, lookup: Mapping[str, Any]) -> Any:
        if self.route.lookup.function is None or self.route.lookup.complaint(lookup):
            return None
        return self.route.lookup.find(lookup)


@lru_cache(maxsize=256)
def _compared(serializer_class: SerializerClass) -> dict[str, serializers.Field]:
    pydantic = is_pydantic(serializer_class)
    shown_by = serializer_for(serializer_class) if pydantic else serializer_class  # type: ignore[arg-type]
    fields = shown_by().fields
    chosen = getattr(serializer_class, "AUDIT_FIELDS", None)
    if chosen is not None:
        unknown = sorted(set(chosen) - set(fields))
        if unknown:
            raise NotComparable(f"AUDIT_FIELDS of {serializer_class.__name__} names {', '.join(unknown)}, no fields.")
        return {name: fields[name] for name in chosen}
    kept = {name: field for name, field in fields.items() if not field.write_only}
    return kept if pydantic else {name: field for name, field in kept.items() if not field.read_only}


def _loosely(field: Any) -> str:
    """Return what a field may change about a value that stays the same; a field of the project may change anything."""
    if isinstance(field, serializers.CharField):
        return TRIMMED if field.trim_whitespace else ""
    if isinstance(field, NUMBERS):
        return NUMERIC
    if isinstance(field, serializers.DateTimeField):
        return MOMENT
    if isinstance(field, AS_SENT):
        return UNSORTED if isinstance(field, serializers.MultipleChoiceField) else ""
    return ANYHOW


def _shown(field: serializers.Field, instance: Any) -> Any:
    value = field.get_attribute(instance)
    bare = value.pk if isinstance(value, PKOnlyObject) else value
    return None if bare is None else field.to_representation(value)


def _only(lookup: Mapping[str, Any]) -> Any:
    return next(iter(lookup.values())) if len(lookup) == 1 else ""


def _are_columns(model: type[models.Model], names: Any) -> bool:
    try:
        return all(model._meta.get_field(name).concrete for name in names)
    except FieldDoesNotExist:
        return False
