"""
Logs, one module each: kafka, confluent, kinesis, database, dummy. Each has `Producer`, `Consumer`, `ModelOffsetStore`.

A client library is imported in its own module only, and a module only when a setting names it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from logpipe_signals.backend.base import Consumer, OffsetStore, Producer, Subscription
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError

__all__ = ["get_consumer_backend", "get_offset_backend", "get_producer_backend"]


@lru_cache(maxsize=32)
def _load(setting: str, path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise DeclarationError(
            f"LOGPIPE[{setting!r}] names {path!r}, which does not import: {error}. "
            "Name a class such as 'logpipe_signals.backend.kafka.Producer', or install what it needs."
        ) from error


def producer_class() -> type[Producer]:
    """Return the class that `PRODUCER_BACKEND` names."""
    cls: type[Producer] = _load("PRODUCER_BACKEND", settings.PRODUCER_BACKEND)
    return cls


def consumer_class() -> type[Consumer]:
    """Return the class that `CONSUMER_BACKEND` names."""
    cls: type[Consumer] = _load("CONSUMER_BACKEND", settings.CONSUMER_BACKEND)
    return cls


def offset_class() -> type[OffsetStore]:
    """Return the class that `OFFSET_BACKEND` names."""
    cls: type[OffsetStore] = _load("OFFSET_BACKEND", settings.OFFSET_BACKEND)
    return cls


def get_producer_backend() -> Producer:
    """Return a producer of the configured log; its client is shared by the process."""
    return producer_class()()


def get_consumer_backend(subscription: Subscription) -> Consumer:
    """Return a consumer of the configured log."""
    return consumer_class()(subscription)


def get_offset_backend() -> OffsetStore:
    """Return the store that keeps positions."""
    return offset_class()()
