"""
Primary keys and message keys as text, and the lane a key belongs to.

The outbox keeps a primary key as the text of its *database* value (a UUID is 32 hex digits on SQLite and has dashes on
PostgreSQL), because set-wise inserts copy it from the column. `decode_pk` turns it into the model's value. On the wire
a primary key is `pk_text`, the same on every database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.utils import timezone

Model = type[models.Model]
HEX_PREFIX = "\\x"


def encode_pk(instance: models.Model, using: str = DEFAULT_DB_ALIAS, model: Model | None = None) -> str:
    """
    Return the outbox's text for an instance's primary key; a composite one is a JSON list.

    Args:
        model: The table meant, where the instance is a multi-table child of it.
    """
    texts = [
        database_text(field, getattr(instance, field.attname), using) for field in pk_fields(model or type(instance))
    ]
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def decode_pk(model: Model, text: str, using: str = DEFAULT_DB_ALIAS) -> Any:
    """Return the model's value for the outbox's text; a tuple for a composite primary key."""
    return pk_decoder(model, using)(text)


def pk_decoder(model: Model, using: str = DEFAULT_DB_ALIAS) -> Callable[[str], Any]:
    """Return `decode_pk` for many texts of one model."""
    fields = pk_fields(model)
    if len(fields) == 1:
        return _decoder(fields[0], using)

    def decode(text: str) -> tuple[Any, ...]:
        parts: Sequence[str] = json.loads(text)
        return tuple(_model_value(field, part, using) for field, part in zip(fields, parts, strict=True))

    return decode


def pk_text(model: Model, pk: Any) -> str:
    """Return the primary key's text on the wire."""
    if isinstance(pk, (tuple, list)):
        return json.dumps([str(part) for part in pk], ensure_ascii=False)
    return str(pk)


def pk_fields(model: Model) -> list[models.Field[Any, Any]]:
    """Return the concrete fields that make up a model's primary key."""
    fields = getattr(model._meta, "pk_fields", None) or [model._meta.pk]
    return [field for field in fields if field is not None]


def target_field(field: models.Field[Any, Any]) -> models.Field[Any, Any]:
    """Follow foreign keys to the field that holds the value."""
    while field.remote_field is not None and hasattr(field, "target_field"):
        field = field.target_field
    return field


def lane_of(topic: str, key: str, lanes: int) -> int:
    """Return the lane of a topic's key; `LaneOf` is the same in SQL, and a test holds the two together."""
    digest = hashlib.md5(f"{topic}:{key}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % lanes


def database_text(field: models.Field[Any, Any], value: Any, using: str) -> str:
    """Return the text of a value as its column holds it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return HEX_PREFIX + bytes(value).hex()
    raw = target_field(field).get_db_prep_value(value, connection=connections[using])
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return str(raw)


def _decoder(field: models.Field[Any, Any], using: str) -> Callable[[str], Any]:
    target = target_field(field)
    if isinstance(target, models.IntegerField | models.UUIDField) and not hasattr(target, "from_db_value"):
        return target.to_python
    return partial(_model_value, field, using=using)


def _model_value(field: models.Field[Any, Any], text: str, using: str) -> Any:
    target = target_field(field)
    from_db_value = getattr(target, "from_db_value", None)
    if from_db_value is None:
        return _plain_value(target, text, using)
    # A field with a Python value of its own (an obfuscated id, say): its column's plain type first, then its own way.
    plain = getattr(models, target.get_internal_type(), models.TextField)()
    return from_db_value(_plain_value(plain, text, using), None, connections[using])


def _plain_value(field: models.Field[Any, Any], text: str, using: str) -> Any:
    if isinstance(field, models.BooleanField):
        return text in ("true", "t", "1")
    if isinstance(field, models.BinaryField):
        return bytes.fromhex(text.removeprefix(HEX_PREFIX))
    value = field.to_python(text)
    if isinstance(value, datetime) and settings.USE_TZ and timezone.is_naive(value):
        return timezone.make_aware(value, connections[using].timezone)  # The column has no zone on this database.
    return value
