"""DRF's question whether a unique value is taken, asked for all messages of a batch at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

UNKNOWN = object()


class AskedTogether(UniqueValidator):
    """
    Knows each value's owner as it was before the batch, and trusts that once.

    A value that was free, or the row's own, passes without a question. Everything else is asked for as usual: a value
    that another row has, or that an earlier record of the batch used.
    """

    def __init__(self, field: serializers.Field, validator: UniqueValidator) -> None:
        super().__init__(queryset=validator.queryset, message=validator.message, lookup=validator.lookup)
        self._name = str(field.field_name)
        self._column = str(field.source_attrs[-1])
        self._owners: dict[Any, Any] = {}

    @classmethod
    def can_replace(cls, field: serializers.Field, validator: UniqueValidator) -> bool:
        """Tell whether the database refuses what slips through: a value that user code took during the batch."""
        columns = {column.name: column for column in validator.queryset.model._meta.concrete_fields}
        column = columns.get(str(field.source_attrs[-1]))
        return validator.lookup == "exact" and column is not None and column.unique

    def ask(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Find out who has the values of these messages."""
        column = self.queryset.model._meta.get_field(self._column)
        values = {_plain(column, message.get(self._name)) for message in messages} - {None}
        taken = self.queryset.filter(**{f"{self._column}__in": values}).values_list(self._column, "pk")
        self._owners = dict.fromkeys(values) | dict(taken)

    def forget(self) -> None:
        """Ask as usual again."""
        self._owners = {}

    def __call__(self, value: Any, serializer_field: Any) -> None:
        owner = self._owners.pop(value, UNKNOWN)
        instance = getattr(serializer_field.parent, "instance", None)
        if owner is None or (owner is not UNKNOWN and instance is not None and owner == instance.pk):
            return
        super().__call__(value, serializer_field)


def _plain(column: Any, value: Any) -> Any:
    try:
        found = column.to_python(value)
        hash(found)
    except (DjangoValidationError, TypeError, ValueError):
        return None
    return found
