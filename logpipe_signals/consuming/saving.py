"""Applying one record through its serializer: lookup, validate, save; or lookup and delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from rest_framework import serializers

from logpipe_signals import echo
from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.incoming import Incoming, Route
from logpipe_signals.consuming.kept_fields import kept_fields
from logpipe_signals.consuming.kinds import model_of
from logpipe_signals.exceptions import ValidationError
from logpipe_signals.pydantic_serializers import is_pydantic


def apply_record(incoming: Incoming) -> Any:
    """
    Write what a record says through user code, and return the instance (None after a delete).

    Raises:
        ValidationError: The serializer refused the message; nothing was written.
    """
    topic = None if incoming.route.options.republish else incoming.record.topic
    if incoming.is_delete:
        _delete(incoming, topic)
        return None
    instance = incoming.route.lookup.find(incoming.message)
    serializer = validated(incoming, instance, dropped_after_use=True)
    with _echo(topic, incoming.route, instance):
        return serializer.save()


def validated(incoming: Incoming, instance: Any, *, dropped_after_use: bool = False) -> Any:
    """
    Return a serializer that holds the message and the row it is about.

    Args:
        dropped_after_use: It is saved and then let go of, so that the next one can have its fields.

    Raises:
        ValidationError: The serializer refused the message.
    """
    serializer_class = incoming.route.serializer_class
    if is_pydantic(serializer_class):
        return _pydantic_model(serializer_class, incoming.message, instance, incoming.record)
    serializer = serializer_class(instance=instance, data=incoming.message)
    if dropped_after_use and (kept := kept_fields(serializer_class)) is not None:
        kept.lend(serializer)
    try:
        serializer.is_valid(raise_exception=True)
    except serializers.ValidationError as error:
        raise ValidationError(error, incoming.record) from error
    return serializer


def _pydantic_model(model: Any, message: Mapping[str, Any], instance: Any, record: Record) -> Any:
    try:
        validated_model = model.model_validate(message)
    except ValueError as error:  # pydantic's ValidationError is one
        raise ValidationError(error, record) from error
    validated_model._instance = instance
    return validated_model


def names_its_own_row(retraction: Incoming, current_key: str | None) -> bool:
    """
    Tell whether the key that a row gave up finds that very row under its new key.

    So it is where the subscriber compares without case, and "Joe" became "joe": to delete would lose the row.
    """
    lookup = retraction.route.lookup
    arguments = lookup.arguments_for_key(current_key) if current_key else None
    if arguments is None or (here := lookup.find(arguments)) is None:
        return False
    there = lookup.find(retraction.message)
    return there is not None and there.pk == here.pk


def _delete(incoming: Incoming, topic: str | None) -> None:
    """Delete the row a record is about. A tombstone without identity is about every type that has its key."""
    _delete_found(incoming.route, incoming.message, topic)
    for route in incoming.siblings:
        arguments = route.lookup.arguments_for_key(incoming.record.key_text)
        _delete_found(route, arguments or {}, topic)


def _delete_found(route: Route, message: Mapping[str, Any], topic: str | None) -> None:
    instance = route.lookup.find(message)
    if instance is not None:
        with _echo(topic, route, instance):
            instance.delete()


def _echo(topic: str | None, route: Route, instance: Any) -> Any:
    model = type(instance) if isinstance(instance, models.Model) else model_of(route.serializer_class)
    return echo.applying(topic or "", model if topic is not None else None)
