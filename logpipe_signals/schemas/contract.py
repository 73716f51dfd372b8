"""
The contract: the shape of every message that this project sends and accepts, by topic, type and version.

It is worked out from the publications and subscriptions, or read from a lock file; both are the same to everybody else.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from logpipe_signals.envelope import DELETED_SUFFIX
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry import Publication, SerializerClass, publications, subscriptions
from logpipe_signals.schemas.shapes import Direction, Schema, shape_of

DIRECTIONS: tuple[Direction, ...] = ("sent", "accepted")
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Label(NamedTuple):
    """Which message is meant."""

    direction: Direction
    topic: str
    type: str
    version: int

    def __str__(self) -> str:
        return f"{self.type!r} version {self.version} {'on' if self.direction == 'sent' else 'from'} {self.topic!r}"

    @property
    def other_versions(self) -> tuple[str, str, str]:
        """Return what the versions of one type have in common."""
        return self.direction, self.topic, self.type


@dataclass(frozen=True, kw_only=True)
class Entry:
    """
    One message's contract.

    schema: None where an upcaster reads an old version: what it takes, only its code knows.
    key:    The field that is the message key; "" for the primary key (and for what is accepted).
    untold: Fields whose type cannot be told. They are no part of the lock.
    """

    schema: Schema | None
    key: str = ""
    untold: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Entries by their labels."""

    entries: Mapping[Label, Entry]

    def __iter__(self) -> Iterator[tuple[Label, Entry]]:
        return iter(sorted(self.entries.items()))

    def get(self, direction: Direction, topic: str, message_type: str, version: int) -> Entry | None:
        """Return an entry, or None."""
        return self.entries.get(Label(direction, topic, message_type, version))

    def versions(self, label: Label) -> list[int]:
        """Return the versions of the label's type there are."""
        return sorted(each.version for each in self.entries if each.other_versions == label.other_versions)

    def only(self, direction: Direction) -> Iterator[tuple[Label, Entry]]:
        """Return what is sent, or what is accepted, in order."""
        return ((label, entry) for label, entry in self if label.direction == direction)


def contract_of_code() -> Contract:
    """
    Return the contract of the publications and subscriptions that are declared.

    Raises:
        DeclarationError: A serializer breaks the rules, the extra `schema` is missing, or one type and version has two
            shapes on one topic.
    """
    found: dict[Label, Entry] = {}
    for publication in publications:
        for label, entry in _published(publication):
            _add(found, label, entry)
    for topic, serializer_class, upcast in _subscribed():
        for label, entry in _accepted(topic, serializer_class, upcast):
            _add(found, label, entry)
    return Contract(entries=found)


def _add(found: dict[Label, Entry], label: Label, entry: Entry) -> None:
    if found.setdefault(label, entry) != entry:
        raise DeclarationError(
            f"{label} has two shapes: two serializers declare it, and differ. Give one of them another VERSION."
        )


# --- what is sent -----------------------------------------------------------------------------------------------------


def _published(publication: Publication) -> Iterator[tuple[Label, Entry]]:
    for cls in publication.serializer_classes:
        label = Label("sent", publication.topic, cls.MESSAGE_TYPE, cls.VERSION)
        shape = shape_of(cls, "sent")
        key = str(getattr(cls, "KEY_FIELD", None) or "")
        if publication.key_provider is not None:
            key = f"{publication.key_provider.__module__}.{publication.key_provider.__qualname__}"
        yield label, Entry(schema=shape.schema, key=key, untold=shape.untold)
        if publication.options.delete in ("message", "both"):
            deleted = _members(shape.schema, publication.lookup_fields)
            yield label._replace(type=cls.MESSAGE_TYPE + DELETED_SUFFIX), Entry(schema=deleted, key=key)


def _members(schema: Schema, names: tuple[str, ...]) -> Schema:
    """Return the schema of a delete: the fields by which a reader finds the row."""
    properties = {name: schema.get("properties", {}).get(name, {}) for name in sorted(names)}
    found: dict[str, Any] = {"additionalProperties": False, "properties": properties, "type": "object"}
    if names:
        found["required"] = sorted(names)
    return found


# --- what is accepted -------------------------------------------------------------------------------------------------


def _subscribed() -> Iterator[tuple[str, SerializerClass, Mapping[int, Any]]]:
    for declared in subscriptions:
        yield declared.topic, declared.serializer_class, declared.options.upcast
    for build in subscriptions.factories():
        consumer = build()
        for route in consumer.routes:
            if route.upcast is None:
                yield consumer.topic_name, route.serializer_class, route.options.upcast


def _accepted(
    topic: str, serializer_class: SerializerClass, upcast: Mapping[int, Any]
) -> Iterator[tuple[Label, Entry]]:
    label = Label("accepted", topic, serializer_class.MESSAGE_TYPE, serializer_class.VERSION)
    lookup = _lookup(serializer_class)
    shape = shape_of(serializer_class, "accepted")
    yield label, Entry(schema=_for_lookup(shape.schema, lookup), untold=shape.untold)
    for version in upcast:
        yield label._replace(version=version), Entry(schema=None)
    if lookup is not None:
        yield (
            label._replace(type=label.type + DELETED_SUFFIX),
            Entry(schema=_for_lookup({"type": "object"}, lookup)),
        )


class _Lookup(NamedTuple):
    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_all: bool


def _lookup(serializer_class: SerializerClass) -> _Lookup | None:
    """Return what `lookup_instance` asks of a message."""
    function = getattr(serializer_class, "lookup_instance", None)
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in NAMED]
    return _Lookup(
        names=tuple(p.name for p in named),
        required=tuple(p.name for p in named if p.default is p.empty),
        takes_all=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def _for_lookup(schema: Schema, lookup: _Lookup | None) -> Schema:
    """A message has to hold what the lookup needs, and nothing that it does not take."""
    if lookup is None:
        return schema
    found = dict(schema)
    required = sorted({*found.get("required", ()), *lookup.required})
    if required:
        found["required"] = required
    properties = {**{name: {} for name in lookup.required}, **found.get("properties", {})}
    if not lookup.takes_all:
        properties = {name: properties.get(name, {}) for name in {*properties, *lookup.names} if name in lookup.names}
        found["additionalProperties"] = False
    if properties:
        found["properties"] = {name: properties[name] for name in sorted(properties)}
    return {key: found[key] for key in sorted(found)}
