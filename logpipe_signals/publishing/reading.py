"""
What a publication says about an instance: its message key, and what a delete message will need of it.

Everything goes through the serializer's own fields, so that a key is the text of `serializer.data[KEY_FIELD]` and a
delete carries what `lookup_instance` is given on the other side.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.db import DatabaseError, models
from rest_framework.fields import SkipField
from rest_framework.relations import PKOnlyObject
from rest_framework.renderers import JSONRenderer

from logpipe_signals.keys import pk_fields, pk_text, target_field
from logpipe_signals.publishing.secrets import log_failure, secrets_of_instance
from logpipe_signals.redaction import without
from logpipe_signals.registry import Publication, SerializerClass

logger = logging.getLogger(__name__)

ERROR_MEMBER = "!error"
"""The member of a delete's payload that says why the others are missing. The relay sets such a row aside."""


def pk_of(model: type[models.Model], instance: models.Model) -> Any:
    """Return the primary key an instance has in this model's table: its own, or that of a multi-table parent."""
    values = tuple(getattr(instance, field.attname) for field in pk_fields(model))
    return values if len(values) > 1 else values[0]


def key_of(publication: Publication, instance: models.Model) -> str:
    """
    Return the text of the message key; "" where the serializer raises, which the relay meets again and sets aside.

    The application's save must not fail for a serializer's sake, nor may the change be lost: the row goes by its
    primary key then, and what was raised is in the log here and in a dead letter later.
    """
    try:
        return _key(publication, instance)
    except DatabaseError:
        raise  # The transaction is broken: whoever saves has to know.
    except Exception as error:  # noqa: BLE001  (a serializer of the project may raise anything)
        text = "Publication %r cannot tell the key of a row; the relay will say so too."
        log_failure(logger, text, publication, instance, error)
        return ""


def delete_payload(publication: Publication, instance: models.Model) -> bytes:
    """Return the outbox's JSON of what a delete message will hold, a member a version; an error has its own member."""
    return _payload(publication, instance, lambda cls: _represented(cls, publication.lookup_fields, instance))


def change_payload(publication: Publication, instance: models.Model, versions: Sequence[int] = ()) -> bytes:
    """
    Return the outbox's JSON of a change that is its own message, a member a version; an error has its own member.

    Args:
        versions: Keep these alone; empty: all.
    """
    return _payload(publication, instance, lambda cls: cls(instance).data, versions)


def _payload(
    publication: Publication,
    instance: models.Model,
    represent: Callable[[SerializerClass], Any],
    versions: Sequence[int] = (),
) -> bytes:
    members: dict[str, Any] = {}
    for serializer_class in publication.serializer_classes:
        if versions and serializer_class.VERSION not in versions:
            continue
        try:
            rendered = JSONRenderer().render({version_label(serializer_class): represent(serializer_class)})
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  (the change goes on: the relay sets it aside, with the reason)
            log_failure(logger, "Publication %r cannot serialise a row.", publication, instance, error)
            text = without(str(error), secrets_of_instance(publication, instance))
            members[ERROR_MEMBER] = f"{version_label(serializer_class)}: {type(error).__name__}: {text}"
        else:
            members |= _parsed(rendered)
    return JSONRenderer().render(members)


def version_label(serializer_class: SerializerClass) -> str:
    """Return the name of a version in a delete's payload."""
    return f"{serializer_class.MESSAGE_TYPE}/{serializer_class.VERSION}"


def goes_by_pk_alone(publication: Publication) -> bool:
    """Tell whether key and delete message need nothing of a row but its primary key."""
    return _goes_by_pk_alone(publication, publication.serializer_classes)


def _key(publication: Publication, instance: models.Model) -> str:
    if publication.key_provider is not None:
        return str(publication.key_provider(instance))
    name = publication.key_field
    if name is None:
        return pk_text(publication.model, pk_of(publication.model, instance))
    column = publication.key_column
    if column is not None:
        instance = _as_loaded(instance, column)
    return str(_represented(publication.serializer_classes[0], (name,), instance)[name])


def _as_loaded(instance: models.Model, column: models.Field[Any, Any]) -> models.Model:
    """Return the instance, or a twin whose column has the value that a read would give: a UUID, not its text."""
    value = getattr(instance, column.attname)
    loaded = target_field(column).to_python(value)
    if type(loaded) is type(value):
        return instance
    twin = copy.copy(instance)
    setattr(twin, column.attname, loaded)
    return twin


def _represented(serializer_class: SerializerClass, names: tuple[str, ...], instance: models.Model) -> dict[str, Any]:
    """Return some fields of the serializer's data, computed as DRF does and no others."""
    fields = fields_of(serializer_class)
    found: dict[str, Any] = {}
    for name in names:
        field = fields[name]
        try:
            value = field.get_attribute(instance)
        except SkipField:
            continue
        bare = value.pk if isinstance(value, PKOnlyObject) else value
        found[name] = None if bare is None else field.to_representation(value)
    return found


def fields_of(serializer_class: SerializerClass) -> Any:
    """Return the fields of a serializer, made once and only ever read."""
    if serializer_class not in _fields:
        _fields[serializer_class] = serializer_class().fields
    return _fields[serializer_class]


_fields: dict[SerializerClass, Any] = {}


@cache
def _goes_by_pk_alone(publication: Publication, serializer_classes: tuple[SerializerClass, ...]) -> bool:
    if publication.options.key is not None:
        return False
    own = {name for field in pk_fields(publication.model) for name in (field.name, field.attname)} | {"pk"}
    names = {publication.key_field} - {None} | set(publication.lookup_fields)
    return all(
        name in fields_of(serializer_class) and fields_of(serializer_class)[name].source in own
        for serializer_class in serializer_classes
        for name in names
    )


def _parsed(rendered: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(rendered)
    return parsed
