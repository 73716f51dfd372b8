"""Records as a consumer would read them: messages, deletes, tombstones, and rows through their serializer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

from logpipe_signals.backend.base import Record
from logpipe_signals.envelope import DELETED_SUFFIX, Envelope, Meta
from logpipe_signals.registry import SerializerClass, require_message_rules

_offsets = itertools.count()


def make_record(
    topic: str,
    type: str,  # noqa: A002  (the wire's own word)
    message: Any,
    *,
    version: int = 1,
    key: str = "",
    identity: str = "",
    source: str = "",
    sequence: int = 0,
    operation: str = "",
    headers: Mapping[str, str] | None = None,
    format: str = "json",  # noqa: A002  (the wire's own word)
    partition: str = "0",
    offset: int | None = None,
    timestamp: float | None = None,
) -> Record:
    """
    Return a record of a message, as a publisher sends it.

    Args:
        identity: `type:primary key`; with `source` and `sequence` the staleness guard works as for real messages.
        offset: By default higher than that of each record made before.
        timestamp: Milliseconds since 1970; by default now.
    """
    meta = Meta(identity=identity, source=source, sequence=sequence, operation=operation)
    value = Envelope(type=type, version=version, message=message).render(format)
    return _record(topic, key, value, meta, headers, partition, offset, timestamp)


def make_delete(topic: str, type: str, lookup: Mapping[str, Any], *, version: int = 1, **others: Any) -> Record:  # noqa: A002
    """Return a record that says that a row is gone: `type.deleted`, with the fields by which it is found."""
    return make_record(topic, type + DELETED_SUFFIX, lookup, version=version, operation="delete", **others)


def make_tombstone(topic: str, key: str, *, identity: str = "", source: str = "", sequence: int = 0) -> Record:
    """Return a record without a value, whose key says which row is gone."""
    meta = Meta(identity=identity, source=source, sequence=sequence, operation="delete")
    return _record(topic, key, None, meta, None, "0", None, None)


def record_of(topic: str, serializer_class: SerializerClass, instance: Any, **others: Any) -> Record:
    """Return the record that a publisher with this serializer would make of an object."""
    cls = require_message_rules(serializer_class, "record_of")
    data = cls(instance=instance).data
    key_field = getattr(cls, "KEY_FIELD", None)
    others.setdefault("key", str(data[key_field]) if key_field else "")
    return make_record(topic, cls.MESSAGE_TYPE, data, version=cls.VERSION, **others)


def _record(
    topic: str,
    key: str,
    value: bytes | None,
    meta: Meta,
    headers: Mapping[str, str] | None,
    partition: str,
    offset: int | None,
    timestamp: float | None,
) -> Record:
    further = tuple((name, text.encode()) for name, text in (headers or {}).items())
    return Record(
        topic,
        partition,
        next(_offsets) if offset is None else offset,
        time.time() * 1000 if timestamp is None else timestamp,
        key.encode() if key else None,
        value,
        (*meta.as_headers(), *further),
    )
