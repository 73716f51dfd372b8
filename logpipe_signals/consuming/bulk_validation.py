"""
Validation of many messages on one serializer, its queries made once for all of them.

A serializer made anew costs more than what it validates. A reused one would ask the database for each unique field and
each relation of each message, and refuse rows that exist: those questions are asked set-wise here instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.relations import RelatedField
from rest_framework.validators import BaseUniqueForValidator, UniqueTogetherValidator, UniqueValidator

from logpipe_signals.consuming.batch import BatchFailed
from logpipe_signals.consuming.bulk_plan import BulkPlan
from logpipe_signals.consuming.incoming import Incoming
from logpipe_signals.consuming.surrogates import NoSurrogates
from logpipe_signals.exceptions import ValidationError

SETWISE = (UniqueValidator, UniqueTogetherValidator, BaseUniqueForValidator)


class Validation:
    """Validates the messages of one batch."""

    def __init__(self, plan: BulkPlan, messages: Sequence[Mapping[str, Any]]) -> None:
        self._serializer: serializers.Serializer = plan.serializer_class(data={})
        self._serializer.validators = _others(self._serializer.validators)
        # A plain dict: the one that DRF has walks through Python code for each message, several times.
        self._fields = dict(self._serializer.fields.items())
        self._unique: list[_UniqueField] = []
        for name, field in self._fields.items():
            if field.read_only:
                continue
            self._take_over(plan, name, field, messages)

    def run(self, incoming: Incoming, instance: Any) -> dict[str, Any]:
        """
        Return the validated values by model field.

        Raises:
            ValidationError: The serializer refused the message.
        """
        serializer = self._serializer
        serializer.instance, serializer.initial_data = instance, incoming.message
        vars(serializer)["fields"] = self._fields.copy()  # user code may take some out, for its message
        try:
            values: dict[str, Any] = serializer.run_validation(incoming.message)
            for unique in self._unique:
                unique.check(incoming.message, values)
        except serializers.ValidationError as error:
            raise ValidationError(error, incoming.record) from error
        return values

    def _take_over(
        self, plan: BulkPlan, name: str, field: serializers.Field, messages: Sequence[Mapping[str, Any]]
    ) -> None:
        if isinstance(field, RelatedField):
            target = _Related(field, [message.get(name) for message in messages])
            vars(field)["get_queryset"] = lambda: target
        unique = [validator for validator in field.validators if isinstance(validator, UniqueValidator)]
        if unique and field.source not in plan.columns:
            column = plan.model._meta.get_field(str(field.source))
            self._unique.append(_UniqueField(plan, name, column, unique[0], messages))
        field.validators = _others(field.validators)


def _others(validators: Sequence[Any]) -> list[Any]:
    return [NoSurrogates.instead_of(each) for each in validators if not isinstance(each, SETWISE)]


class _Related:
    """The related rows of a batch, read once; stands where a field would ask its queryset for each."""

    def __init__(self, field: Any, values: Sequence[Any]) -> None:
        self._queryset = field.get_queryset()
        name = getattr(field, "slug_field", None) or self._queryset.model._meta.pk.name
        self._column = self._queryset.model._meta.get_field(name)
        wanted = {value for value in map(self._as_column, values) if value is not None}
        rows = self._queryset.filter(**{f"{name}__in": wanted}) if wanted else ()
        self._rows = {self._as_column(getattr(row, self._column.attname)): row for row in rows}

    def get(self, **lookup: Any) -> Any:
        """Return the row of a value, as `QuerySet.get` does."""
        (value,) = lookup.values()
        if isinstance(value, bool):
            raise TypeError
        try:
            return self._rows[self._as_column(value)]
        except KeyError:
            raise ObjectDoesNotExist from None

    def _as_column(self, value: Any) -> Any:
        try:
            found = self._column.to_python(value)
            hash(found)
        except (DjangoValidationError, TypeError, ValueError):
            return None
        return found


class _UniqueField:
    """A unique column that is not the row's own key: which row has which value, read once."""

    def __init__(
        self, plan: BulkPlan, name: str, column: Any, validator: UniqueValidator, messages: Sequence[Mapping[str, Any]]
    ) -> None:
        self._plan = plan
        self._name = name
        self._message = validator.message
        self._column = column
        values = [value for value in (self._plain(message.get(name)) for message in messages) if value is not None]
        rows = validator.queryset.filter(**{f"{self._column.name}__in": values}) if values else ()
        self._owners = {getattr(row, column.attname): plan.key_of_row(row) for row in rows}
        self._in_batch = {plan.key_of(message) for message in messages}

    def check(self, message: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """
        Refuse a value that another row has.

        Raises:
            BatchFailed: A row of this very batch has it: in their order, that one may give it up, or take it, first.
        """
        value = values.get(self._column.name)
        if value is None:
            return
        key = self._plan.key_of(message)
        owner = self._owners.setdefault(value, key)
        if owner != key and owner in self._in_batch:
            raise BatchFailed
        if owner != key:
            raise serializers.ValidationError({self._name: [self._message]}, code="unique")

    def _plain(self, value: Any) -> Any:
        try:
            return self._column.to_python(value)
        except (DjangoValidationError, TypeError, ValueError):
            return None
