"""The consumers a project declared: with `@subscribes`, and with `@register_consumer`."""

from __future__ import annotations

from collections.abc import Collection

from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry import subscriptions


def declared_consumers(topics: Collection[str] = ()) -> list[Consumer]:
    """
    Return the project's consumers, of some topics or of all.

    Raises:
        DeclarationError: There are none, or none of a topic that was named.
    """
    consumers = [*_subscribed(), *(build() for build in subscriptions.factories())]
    if not consumers:
        raise DeclarationError(
            "No consumer is declared. Put @subscribes('<topic>') on a serializer in a consumers.py of an installed app."
        )
    unknown = sorted(set(topics) - {consumer.topic_name for consumer in consumers})
    if unknown:
        known = ", ".join(sorted({consumer.topic_name for consumer in consumers}))
        raise DeclarationError(f"No consumer is declared for topic {', '.join(unknown)}. Declared: {known}.")
    return [consumer for consumer in consumers if not topics or consumer.topic_name in topics]


def _subscribed() -> list[Consumer]:
    consumers: dict[str, Consumer] = {}
    for declared in subscriptions:
        consumer = consumers.get(declared.topic)
        if consumer is None:
            consumer = consumers[declared.topic] = Consumer(declared.topic)
            consumer.routes.options = declared.options
        consumer.routes.add(declared.serializer_class, declared.options)
    return list(consumers.values())
