"""
logpipe_signals publishes the changes of Django models to a log and applies them on the other side.

    save / delete / m2m / bulk / trigger
      -> capture          one outbox row: publication, primary key, key, operation, lane
      -> outbox           in the change's own transaction
      -> relay            claims lanes, reads the rows' current state in batches, serialises, sends, retires
      -> backend          kafka | confluent | kinesis | database | dummy
    the log
      -> consumer         polls batches, decodes, routes by type and version
      -> apply            lookup_instance, validate, save: rows and position in one transaction
      -> dead letters     what could not be applied

The public names are below. They are imported on first use, so that this package can stand in INSTALLED_APPS and be
imported by a models.py before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from logpipe_signals._version import __version__ as __version__

if TYPE_CHECKING:
    from logpipe_signals.consuming.consumer import Consumer, MultiConsumer
    from logpipe_signals.formats import FORMAT_JSON, FORMAT_MSGPACK, FORMAT_PICKLE
    from logpipe_signals.publishing.producer import DRFProducer, Producer, PydanticProducer
    from logpipe_signals.publishing.suspend import suspend_publishing
    from logpipe_signals.registry import publishes, register_consumer, subscribes

_HOMES = {
    "Consumer": "logpipe_signals.consuming.consumer",
    "MultiConsumer": "logpipe_signals.consuming.consumer",
    "DRFProducer": "logpipe_signals.publishing.producer",
    "Producer": "logpipe_signals.publishing.producer",
    "PydanticProducer": "logpipe_signals.publishing.producer",
    "FORMAT_JSON": "logpipe_signals.formats",
    "FORMAT_MSGPACK": "logpipe_signals.formats",
    "FORMAT_PICKLE": "logpipe_signals.formats",
    "publishes": "logpipe_signals.registry",
    "register_consumer": "logpipe_signals.registry",
    "subscribes": "logpipe_signals.registry",
    "suspend_publishing": "logpipe_signals.publishing.suspend",
}

__all__ = [
    "FORMAT_JSON",
    "FORMAT_MSGPACK",
    "FORMAT_PICKLE",
    "Consumer",
    "DRFProducer",
    "MultiConsumer",
    "Producer",
    "PydanticProducer",
    "publishes",
    "register_consumer",
    "subscribes",
    "suspend_publishing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
