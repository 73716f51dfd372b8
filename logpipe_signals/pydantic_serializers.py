"""
Pydantic models where a publication takes a serializer.

    class PersonModel(pydantic.BaseModel):
        MESSAGE_TYPE: ClassVar[str] = "person"
        VERSION: ClassVar[int] = 1
        KEY_FIELD: ClassVar[str] = "uuid"

        uuid: UUID
        tags: list[TagModel]

    publishes("people", PersonModel)(Person)

A row is validated from its attributes and dumped in JSON mode, by field name, as django-logpipe 1.6 dumps one. A
manager (`person.tags`) is read as the list of its rows, so that nested models are filled from relations.

All else here speaks to a DRF serializer, so a model is given one. A field that shows its attribute as it is (a text, a
whole number, a UUID, without code of the model's own) becomes the DRF field of that kind: keys can then be told in
SQL. Of any other the whole model is asked. Pydantic itself is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from django.db import models
from rest_framework import serializers

SerializerClass = type[serializers.Serializer[Any]]

PLAIN_FIELDS: Mapping[Any, type[serializers.Field[Any, Any, Any, Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    UUID: serializers.UUIDField,
}
HARMLESS_CONFIG = frozenset(
    {"extra", "frozen", "from_attributes", "populate_by_name", "title", "arbitrary_types_allowed"}
)
"""What a model's configuration may say without changing how a plain field is shown."""


def is_pydantic(cls: Any) -> bool:
    """Tell a Pydantic model from a DRF serializer."""
    return isinstance(cls, type) and hasattr(cls, "model_validate")


@cache
def serializer_for(model: Any) -> SerializerClass:
    """Return the serializer class that shows rows as this Pydantic model does; the same one for each model."""
    declared = {name: getattr(model, name) for name in model.__class_vars__ if hasattr(model, name)}
    if hasattr(model, "lookup_instance"):
        declared["lookup_instance"] = staticmethod(model.lookup_instance)
    fields = {name: _field(model, name, info) for name, info in model.model_fields.items()}
    attributes = {
        **declared,
        **fields,
        "pydantic_model": model,
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
    }
    return type(model.__name__, (_PydanticSerializer,), attributes)


class _PydanticSerializer(serializers.Serializer[Any]):
    """Shows a row as its `pydantic_model` does."""

    pydantic_model: Any

    def to_representation(self, instance: Any) -> Any:
        """
        Return the message.

        Raises:
            ValueError: The row does not fit the model (`pydantic.ValidationError`).
        """
        if not isinstance(instance, self.pydantic_model):
            instance = self.pydantic_model.model_validate(_readable(instance), from_attributes=True)
        return instance.model_dump(mode="json")


class _Asked(serializers.Field[Any, Any, Any, Any]):
    """A field that only the model can show."""

    def __init__(self, name: str) -> None:
        super().__init__(read_only=True, source="*")
        self._name = name

    def to_representation(self, value: Any) -> Any:
        """Return what the model makes of the row."""
        parent: Any = self.parent
        return parent.to_representation(value)[self._name]


class _Row:
    """A row as Pydantic reads it: relations to many are lists."""

    __slots__ = ("_instance",)

    def __init__(self, instance: models.Model) -> None:
        self._instance = instance

    def __getattr__(self, name: str) -> Any:
        return _readable(getattr(self._instance, name))


def _readable(value: Any) -> Any:
    if isinstance(value, models.Model):
        return _Row(value)
    if isinstance(value, models.Manager | models.QuerySet):
        return [_Row(row) for row in value.all()]
    return value


def _field(model: Any, name: str, info: Any) -> serializers.Field[Any, Any, Any, Any]:
    field = PLAIN_FIELDS.get(info.annotation)
    if field is None or not _shows_as_it_is(model, info):
        return _Asked(name)
    source = info.validation_alias or info.alias
    return field() if source in (None, name) else field(source=source)


def _shows_as_it_is(model: Any, info: Any) -> bool:
    decorators = model.__pydantic_decorators__
    kinds = (
        "validators",
        "field_validators",
        "root_validators",
        "field_serializers",
        "model_serializers",
        "model_validators",
    )
    aliases = (info.alias, info.validation_alias)
    return (
        not any(getattr(decorators, kind) for kind in kinds)
        and HARMLESS_CONFIG.issuperset(model.model_config)
        and all(type(mark).__module__ == "annotated_types" for mark in info.metadata)
        and all(alias is None or isinstance(alias, str) for alias in aliases)
    )
