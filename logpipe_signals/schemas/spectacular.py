"""
The shape of a DRF serializer, as drf-spectacular tells it: the only module that knows drf-spectacular.

Some things are told otherwise than there. A field whose type nobody can tell takes anything, instead of text. The range
of an integer column is that of PostgreSQL, whatever database the code runs on: a lock file made on a laptop has to
hold in CI. A text that may not be blank has a character at least, in both directions. And what a serializer always
sends is required of what is sent, also where it declares that a reader need not have it (`x-optional`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from django.db import connection, models
from django.db.backends.base.operations import BaseDatabaseOperations
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.settings import spectacular_settings
from rest_framework import serializers
from rest_framework.views import APIView

Direction = Literal["response", "request"]
Schema = dict[str, Any]

PATCHES = {
    "OAS_VERSION": "3.1.0",  # whose schemas are JSON Schema 2020-12
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_NO_READ_ONLY_REQUIRED": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
_patching = threading.Lock()


def shape(serializer_class: type[Any], direction: Direction) -> tuple[Schema, Mapping[str, Schema], tuple[str, ...]]:
    """Return a serializer's schema, those it refers to by name, and the names of fields whose type cannot be told."""
    inspector = _Inspector(direction)
    # Any context will do, so that none is built from a view.
    serializer = serializer_class(context={"view": None})
    with _patched(), GENERATOR_STATS.silence():
        schema = inspector.whole(serializer)
    components = {name: found.schema for (name, _), found in inspector.registry._components.items()}
    return schema, components, tuple(inspector.untold)


@contextmanager
def _patched() -> Iterator[None]:
    """Settings that a project made for its API's documentation must not change the shape of its messages."""
    with _patching:
        before = {name: getattr(spectacular_settings, name) for name in PATCHES}
        try:
            for name, value in PATCHES.items():
                setattr(spectacular_settings, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(spectacular_settings, name, value)


class _Inspector(AutoSchema):
    """drf-spectacular's inspector without a view."""

    view: Any = APIView()
    method = "POST"
    path = "/"

    def __init__(self, direction: Direction) -> None:
        super().__init__()
        self.registry = ComponentRegistry()
        self.untold: list[str] = []
        self._direction = direction

    def whole(self, serializer: Any) -> Schema:
        """Return the schema of a serializer itself, not a reference to it."""
        schema: Schema = self._map_serializer(  # type: ignore[no-untyped-call]
            serializer, self._direction
        )
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> Schema:
        schema: Schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "response":
            _tell_what_is_always_there(serializer, schema)
        return schema

    def _map_serializer_field(self, field: Any, direction: Direction, bypass_extensions: bool = False) -> Any:
        warned = sum(GENERATOR_STATS._warn_cache.values())
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if schema is None:
            return None
        if sum(GENERATOR_STATS._warn_cache.values()) > warned and schema.get("type") in ("string", ["string", "null"]):
            self.untold.append(field.field_name or field.parent.field_name)
            return {key: value for key, value in schema.items() if key in ("readOnly", "writeOnly")}
        _set_integer_range(field, schema)
        if type(field).to_representation is serializers.CharField.to_representation and not _may_be_blank(field):
            schema["minLength"] = max(1, schema.get("minLength", 1))
        return schema


def _tell_what_is_always_there(serializer: Any, schema: Schema) -> None:
    """A serializer sends every field it has; what it declares as not required, a reader need not have."""
    properties = schema.get("properties", {})
    optional = [name for name in properties if name not in schema.get("required", ())]
    skippable = {name for name in optional if _may_be_skipped(serializer, serializer.fields[name])}
    schema["required"] = [name for name in properties if name not in skippable]
    if declared := [name for name in optional if name not in skippable]:
        schema["x-optional"] = declared


def _may_be_skipped(serializer: Any, field: Any) -> bool:
    """Tell whether DRF leaves the field out of an instance that lacks it."""
    if field.default is not serializers.empty or field.allow_null:
        return False
    model = getattr(getattr(serializer, "Meta", None), "model", None)
    source = str(field.source or "").partition(".")[0]
    return model is None or not (source == "*" or hasattr(model, source))


def _may_be_blank(field: Any) -> bool:
    return bool(field.read_only or field.allow_blank)


def _set_integer_range(field: Any, schema: Schema) -> None:
    column = _column_of(field) if isinstance(field, serializers.IntegerField) else None
    if column is None:
        return
    internal_type = column.get_internal_type()
    standard = BaseDatabaseOperations.integer_field_ranges.get(internal_type)
    if standard is None:
        return
    own = connection.ops.integer_field_range(internal_type)
    for keyword, limit, own_limit in zip(("minimum", "maximum"), standard, own, strict=True):
        if schema.get(keyword) in (None, own_limit):
            schema[keyword] = limit


def _column_of(field: Any) -> models.Field[Any, Any] | None:
    model = getattr(getattr(field.parent, "Meta", None), "model", None)
    if model is None:
        return None
    return next((column for column in model._meta.concrete_fields if column.name == field.source), None)
