"""What a declaration names: serializers and functions, given themselves or by their dotted paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string

from logpipe_signals.exceptions import DeclarationError

SerializerClass = type[Any]


def load_serializer(declared: SerializerClass | str, owner: str) -> SerializerClass:
    """
    Import a serializer and hold it to django-logpipe's rules.

    Raises:
        DeclarationError: With the rule that is broken and the cure.
    """
    serializer_class = declared
    if isinstance(declared, str):
        try:
            serializer_class = import_string(declared)
        except ImportError as error:
            raise DeclarationError(
                f"{owner} names the serializer {declared!r}, which does not import: {error}"
            ) from error
    return require_message_rules(serializer_class, owner)


def load_callable(declared: Callable[..., Any] | str | None, owner: str) -> Callable[..., Any] | None:
    """
    Return a function that is named by its dotted path, or given itself.

    Raises:
        DeclarationError: The path does not import, or names nothing that can be called.
    """
    if declared is None:
        return None
    found: Any = declared
    if isinstance(declared, str):
        try:
            found = import_string(declared)
        except ImportError as error:
            raise DeclarationError(f"{owner} names {declared!r}, which does not import: {error}") from error
    if not callable(found):
        raise DeclarationError(f"{owner} is {declared!r}, which cannot be called. Name a function.")
    function: Callable[..., Any] = found
    return function


def require_message_rules(serializer_class: Any, owner: str) -> SerializerClass:
    """Return the class if it has MESSAGE_TYPE (text) and VERSION (a positive integer); else raise DeclarationError."""
    message_type = getattr(serializer_class, "MESSAGE_TYPE", None)
    version = getattr(serializer_class, "VERSION", None)
    label = getattr(serializer_class, "__qualname__", repr(serializer_class))
    if not isinstance(message_type, str) or not message_type:
        raise DeclarationError(f"{owner}: {label} has no MESSAGE_TYPE. Add one, such as MESSAGE_TYPE = 'person'.")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DeclarationError(f"{owner}: {label} has VERSION = {version!r}. It has to be a whole number from 1 on.")
    loaded: SerializerClass = serializer_class
    return loaded
