"""What an iteration over a `Consumer` hands out: a validated serializer whose `save()` applies the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from logpipe_signals import echo
from logpipe_signals.consuming.incoming import Incoming
from logpipe_signals.consuming.kinds import model_of
from logpipe_signals.consuming.saving import apply_record, validated
from logpipe_signals.registry import publications


class Deletion:
    """Stands where a serializer would for a message that says its row is gone: `save()` deletes the row."""

    validated_data: Mapping[str, Any] = {}
    errors: Mapping[str, Any] = {}

    def __init__(self, incoming: Incoming, instance: Any) -> None:
        self._incoming = incoming
        self.instance = instance

    def is_valid(self, *, raise_exception: bool = False) -> bool:
        """Say yes."""
        return True

    def save(self) -> None:
        """Delete the row."""
        apply_record(self._incoming)


def serializer_for(incoming: Incoming) -> Any:
    """
    Return what applies a message.

    Raises:
        ValidationError: The serializer refused it.
    """
    instance = incoming.route.lookup.find(incoming.message)
    if incoming.is_delete:
        return Deletion(incoming, instance)
    return _without_echo(validated(incoming, instance), incoming)


def _without_echo(serializer: Any, incoming: Incoming) -> Any:
    """Keep what `save()` writes off the topic it came from, where the model is published there."""
    model, topic = model_of(incoming.route.serializer_class), incoming.record.topic
    if model is None or incoming.route.options.republish:
        return serializer
    if not any(publication.topic == topic for publication in publications.for_model(model)):
        return serializer
    save = serializer.save

    def save_without_echo(**kwargs: Any) -> Any:
        with echo.applying(topic, model):
            return save(**kwargs)

    object.__setattr__(serializer, "save", save_without_echo)
    return serializer
