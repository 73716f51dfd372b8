"""
The lock file: the contract as text under version control. One contract has one text, and a change a readable diff.

    {"format": 1,
     "sent":     {topic: {type: {version: {"key": "uuid", "schema": {...}}}}},
     "accepted": {topic: {type: {version: {"schema": {...}}}}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.schemas.contract import DIRECTIONS, Contract, Entry, Label

FORMAT = 1
FILE_NAME = "logpipe-schema.lock.json"


def lock_path() -> Path:
    """Return where this project's lock file is: `SCHEMA_LOCK`, else in BASE_DIR, else in the working directory."""
    if settings.SCHEMA_LOCK:
        return Path(settings.SCHEMA_LOCK)
    return Path(getattr(django_settings, "BASE_DIR", ".")) / FILE_NAME


def publisher_paths() -> list[Path]:
    """Return the lock files of publishers that `SCHEMA_PUBLISHERS` names."""
    named: Any = settings.SCHEMA_PUBLISHERS
    return [Path(path) for path in ([named] if isinstance(named, str | Path) else named)]


def read(path: Path) -> Contract:
    """
    Return the contract that a file holds.

    Raises:
        DeclarationError: It is not there, or is no lock file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeclarationError(
            f"The lock file {str(path)!r} cannot be read: {error.strerror}. "
            "`manage.py publication_schema` writes this project's own; a publisher's comes from the publisher."
        ) from error
    except ValueError as error:
        raise DeclarationError(f"The lock file {str(path)!r} is no JSON: {error}.") from error
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise DeclarationError(
            f"The lock file {str(path)!r} is none of format {FORMAT}. "
            "Write it with `manage.py publication_schema` of the same release of logpipe_signals."
        )
    try:
        return Contract(entries=dict(_entries(found)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DeclarationError(f"The lock file {str(path)!r} is damaged: {type(error).__name__}: {error}.") from error


def _entries(found: Mapping[str, Any]) -> Iterator[tuple[Label, Entry]]:
    for direction in DIRECTIONS:
        for topic, types in found.get(direction, {}).items():
            for message_type, versions in types.items():
                for version, entry in versions.items():
                    label = Label(direction, topic, message_type, int(version))
                    yield label, Entry(schema=entry["schema"], key=entry.get("key", ""))


def text_of(contract: Contract) -> str:
    """Return the text of a lock file."""
    found: dict[str, Any] = {"format": FORMAT}
    for direction in DIRECTIONS:
        found[direction] = {}
        for label, entry in contract.only(direction):
            versions = found[direction].setdefault(label.topic, {}).setdefault(label.type, {})
            keyed = {"key": entry.key} if entry.key else {}
            versions[str(label.version)] = {**keyed, "schema": entry.schema}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def write(path: Path, contract: Contract) -> None:
    """Write a contract's lock file."""
    path.write_text(text_of(contract), encoding="utf-8")
