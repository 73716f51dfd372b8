"""
Paths: the members of a message one by one, through nested objects: `name`, `country.code`.

A subscriber may keep less of a nested object than was sent: so each of its members is compared by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from logpipe_signals.auditing.tokens import ABSENT, MISSING, token

Path = tuple[str, ...]


def paths_of(serializer: serializers.Serializer) -> list[Path]:
    """Return the paths of what a serializer shows."""
    found: list[Path] = []
    for name, field in serializer.fields.items():
        if field.write_only:
            continue
        inner = paths_of(field) if isinstance(field, serializers.Serializer) else [()]
        found += [(name, *path) for path in inner]
    return found


def tokens_of(data: Mapping[str, Any], paths: Sequence[Path]) -> list[str]:
    """Return the tokens of a message's members."""
    return [_token_at(data, path) for path in paths]


def _token_at(data: Any, path: Path) -> str:
    for name in path:
        if data is None:
            return ABSENT
        if not isinstance(data, Mapping) or name not in data:
            return MISSING
        data = data[name]
    return token(data)
