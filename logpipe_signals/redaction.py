"""
Sensitive fields: what dead letters, errors and logs do not show of a message.

    class PersonSerializer(serializers.ModelSerializer):
        SENSITIVE_FIELDS = ("email", "address.street")

A path goes through nested objects, and through each element of a list. The bytes of a message stay complete, or a
replay would lose what was redacted.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "[redacted]"
SHORT = 4
"""Texts shorter than this are masked as whole words only: a house number is part of many other numbers."""
CUTS = ("...", "…")
"""What error texts put where they cut a long value; the beginning and the end of a value beside it give it away too."""

Path = tuple[str, ...]
Paths = frozenset[Path]
Secrets = frozenset[str]
NO_PATHS: Paths = frozenset()
NO_SECRETS: Secrets = frozenset()


def sensitive_paths(serializer_classes: Iterable[Any]) -> Paths:
    """Return the SENSITIVE_FIELDS of some serializers."""
    return frozenset(tuple(path.split(".")) for cls in serializer_classes for path in declared_fields(cls))


def declared_fields(serializer_class: Any) -> tuple[str, ...]:
    """Return a serializer's SENSITIVE_FIELDS; a single text is one field."""
    declared = getattr(serializer_class, "SENSITIVE_FIELDS", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def redacted(message: Any, paths: Paths) -> Any:
    """Return a message with a mask in place of each sensitive value."""
    if not paths:
        return message
    if isinstance(message, list | tuple):
        return [redacted(each, paths) for each in message]
    if not isinstance(message, Mapping):
        return message
    return {name: _redacted_member(value, below(paths, name)) for name, value in message.items()}


def secrets_in(message: Any, paths: Paths) -> Secrets:
    """Return the sensitive values of a message as texts."""
    return frozenset(_secrets(message, paths)) if paths else NO_SECRETS


def without(text: str, secrets: Secrets) -> str:
    """
    Return a text with a mask in place of each secret, however it is quoted or escaped there, or cut.

    What code made of a value before it was quoted (a hash, a date in another form) cannot be told from other text.
    """
    if not secrets or not text:
        return text
    masked = _pattern(secrets).sub(MASK, text)
    for secret in secrets:
        masked = _without_cut(masked, secret)
    return masked


def text_of(error: BaseException) -> str:
    """Return what an error says; one whose own code fails at that says so."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an error of user code may do anything)
        return f"<{type(error).__name__} without a text: its __str__ failed>"


def traceback_of(error: BaseException, secrets: Secrets) -> str:
    """Return an error's traceback without the secrets."""
    return without("".join(traceback.format_exception(error)), secrets)


def below(paths: Paths, name: Any) -> Paths:
    """Return what remains of the paths that begin with a name; the empty path says that all of it is sensitive."""
    return frozenset(path[1:] for path in paths if path and path[0] == name)


def _redacted_member(value: Any, paths: Paths) -> Any:
    return MASK if () in paths else redacted(value, paths)


def _secrets(message: Any, paths: Paths) -> Iterator[str]:
    if not paths:
        return
    if isinstance(message, list | tuple):
        for each in message:
            yield from _secrets(each, paths)
    elif isinstance(message, Mapping):
        for name, value in message.items():
            remaining = below(paths, name)
            yield from _leaves(value) if () in remaining else _secrets(value, remaining)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, bytes):
        yield value.decode(errors="backslashreplace")
    elif value is not None and not isinstance(value, bool) and str(value).strip():
        yield str(value).strip()


def _pattern(secrets: Secrets) -> re.Pattern[str]:
    # The longest first, or a part of a secret would be masked and leave the rest.
    spellings = sorted({each for secret in secrets for each in _spellings(secret)}, key=len, reverse=True)
    return re.compile("|".join(_in_text(each) for each in spellings), re.IGNORECASE)


def _spellings(secret: str) -> Iterator[str]:
    """Yield a text as it is, and as Python and JSON write it."""
    yield secret
    yield repr(secret)[1:-1]
    yield repr(repr(secret)[1:-1])[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]


def _in_text(spelling: str) -> str:
    escaped = re.escape(spelling)
    return rf"(?<!\w){escaped}(?!\w)" if len(spelling) < SHORT else escaped


def _without_cut(text: str, secret: str) -> str:
    for cut in CUTS:
        parts = text.split(cut)
        for place in range(len(parts) - 1):
            parts[place] = _without_ending(parts[place], secret)
            parts[place + 1] = _without_beginning(parts[place + 1], secret)
        text = cut.join(parts)
    return text


def _without_ending(text: str, secret: str) -> str:
    """Mask the beginning of a secret where it stands at the end of a text."""
    shared = next((n for n in range(min(len(secret), len(text)), 1, -1) if text.endswith(secret[:n])), 0)
    return text[: len(text) - shared] + MASK if shared else text


def _without_beginning(text: str, secret: str) -> str:
    """Mask the end of a secret where it stands at the beginning of a text."""
    shared = next((n for n in range(min(len(secret), len(text)), 1, -1) if text.startswith(secret[-n:])), 0)
    return MASK + text[shared:] if shared else text
