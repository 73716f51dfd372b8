"""
Validation: messages held to the JSON Schema of their serializer while they pass, where `SCHEMA_VALIDATION` says so.

What is sent and does not fit becomes a publisher's dead letter, what is received and does not fit a consumer's. The
schema is stricter than DRF, which takes "5" for a number. The texts name fields and rules, never values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from rest_framework.renderers import JSONRenderer

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import SchemaViolation
from logpipe_signals.registry import SerializerClass
from logpipe_signals.schemas.containment import joined
from logpipe_signals.schemas.shapes import Direction, load_spectacular, shape_of

MOST_TOLD = 5


def validates(direction: Direction) -> bool:
    """Tell whether messages of this direction are validated."""
    return settings.SCHEMA_VALIDATION in ("both", "sent" if direction == "sent" else "received")


def require_sent(serializer_class: SerializerClass, data: Any) -> None:
    """
    Hold what a serializer gave to what it says it sends, if that is asked for.

    Raises:
        SchemaViolation: It does not fit; the text names the fields.
    """
    if validates("sent"):
        _require(serializer_class, "sent", json.loads(JSONRenderer().render(data)))


def require_accepted(serializer_class: SerializerClass, message: Any) -> None:
    """
    Hold a received message to what its serializer says it accepts; whoever reads asks `validates` once a batch.

    Raises:
        SchemaViolation: It does not fit; the text names the fields.
    """
    _require(serializer_class, "accepted", message)


def _require(serializer_class: SerializerClass, direction: Direction, message: Any) -> None:
    broken = list(_errors(serializer_class, direction)(message))  # type: ignore[arg-type]  # a class is hashable
    if broken:
        told = sorted({_told(error) for error in broken})
        more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        raise SchemaViolation(
            f"The message does not fit the schema of {serializer_class.__qualname__} (what is {direction}): "
            f"{'; '.join(told[:MOST_TOLD])}{more}."
        )


@cache
def _errors(serializer_class: SerializerClass, direction: Direction) -> Callable[[Any], Iterator[Any]]:
    load_spectacular()
    from jsonschema import Draft202012Validator

    return Draft202012Validator(shape_of(serializer_class, direction).schema).iter_errors


def _told(error: Any) -> str:
    path = ""
    for part in error.absolute_path:
        path = f"{path}[]" if isinstance(part, int) else joined(path, str(part))
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - error.instance.keys())
        return "; ".join(f"field {joined(path, name)!r} is missing" for name in missing)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        foreign = sorted(str(name) for name in error.instance if name not in known)
        return "; ".join(f"field {joined(path, name)!r} is not known" for name in foreign)
    rule = f"{error.validator} {json.dumps(error.validator_value)}"
    where = f"field {path!r}" if path else "the message"
    return f"{where} breaks {rule if len(rule) < 200 else error.validator}"
