"""
What a project's own tests need. Nothing here runs in production, and nothing needs a broker but `services`.

    capture_published    what a block would publish, with assertions whose failures name the fields that differ
    deliver              apply records as the consumer would
    make_record, make_delete, make_tombstone, record_of      records
    in_memory_log        relay and consumer over a log in memory, and what a broker can do to them
    LogpipeTestMixin     the same for unittest
    pytest_plugin        the same as fixtures
    conformance          what every log owes, for backends of third parties
    services             a real Apache Kafka from packages (extra `testing-kafka`)

The names are imported on first use, so that this may be imported before Django is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpipe_signals.testing.capturing import NotPublishable, capture_published
    from logpipe_signals.testing.delivering import Delivery, deliver
    from logpipe_signals.testing.factories import make_delete, make_record, make_tombstone, record_of
    from logpipe_signals.testing.memory import MemoryLog, in_memory_log
    from logpipe_signals.testing.mixins import LogpipeTestMixin
    from logpipe_signals.testing.published import Published, PublishedMessage

_HOMES = {
    "NotPublishable": "capturing",
    "capture_published": "capturing",
    "Delivery": "delivering",
    "deliver": "delivering",
    "make_delete": "factories",
    "make_record": "factories",
    "make_tombstone": "factories",
    "record_of": "factories",
    "MemoryLog": "memory",
    "in_memory_log": "memory",
    "LogpipeTestMixin": "mixins",
    "Published": "published",
    "PublishedMessage": "published",
}

__all__ = [
    "Delivery",
    "LogpipeTestMixin",
    "MemoryLog",
    "NotPublishable",
    "Published",
    "PublishedMessage",
    "capture_published",
    "deliver",
    "in_memory_log",
    "make_delete",
    "make_record",
    "make_tombstone",
    "record_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
