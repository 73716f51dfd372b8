"""SENSITIVE_FIELDS: each names a field that is there, and none is what rows are found by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.publishing.reading import fields_of
from logpipe_signals.redaction import declared_fields
from logpipe_signals.registry import publications, subscriptions


def check_sensitive_fields(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the SENSITIVE_FIELDS of all serializers."""
    return [message for cls in _serializers() for message in (*_misspelt(cls), *_in_the_key(cls))]


def _serializers() -> list[Any]:
    found: dict[Any, None] = {}
    for publication in publications:
        try:
            found.update(dict.fromkeys(publication.serializer_classes))
        except DeclarationError:
            continue  # check_publications says so
    for classes in subscriptions.by_topic().values():
        found.update(dict.fromkeys(classes))
    return list(found)


def _misspelt(serializer_class: Any) -> Iterator[CheckMessage]:
    names = _field_names(serializer_class)
    for declared in declared_fields(serializer_class):
        first = str(declared).partition(".")[0]
        if names is not None and first not in names:
            yield Error(
                f"SENSITIVE_FIELDS of {serializer_class.__qualname__} names {declared!r}, and it has no field {first!r}"
                ": nothing would be redacted.",
                hint=f"Name its fields ({', '.join(names)}), nested ones with dots: 'address.street'.",
                obj=serializer_class,
                id="logpipe_signals.E045",
            )


def _in_the_key(serializer_class: Any) -> Iterator[CheckMessage]:
    key_field = getattr(serializer_class, "KEY_FIELD", None)
    if key_field in declared_fields(serializer_class):
        yield checks.Warning(
            f"{serializer_class.__qualname__} calls its KEY_FIELD {key_field!r} sensitive, but a message's key stands "
            "in the outbox, in logs, in identities and on the topic as it is.",
            hint="Choose a KEY_FIELD that gives nothing away, such as a UUID.",
            obj=serializer_class,
            id="logpipe_signals.W045",
        )


def _field_names(serializer_class: Any) -> list[str] | None:
    """Return the names of a serializer's or a Pydantic model's fields; None where they cannot be told."""
    if hasattr(serializer_class, "model_fields"):
        return list(serializer_class.model_fields)
    try:
        return list(fields_of(serializer_class))
    except Exception:  # noqa: BLE001  (a serializer of the project may raise anything; other checks say so)
        return None
