"""Subscriptions: django-logpipe's rules for serializers, and a way to find the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals.consuming.aliases import rows_and_positions_apart
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry import require_message_rules, subscriptions


def check_subscriptions(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the subscriptions."""
    return [
        message
        for topic, classes in subscriptions.by_topic().items()
        for message in (*_rules(topic, classes), *_handled_twice(topic, classes), *_apart(topic, classes))
    ]


def topics_read() -> set[str]:
    """Return the topics of all consumers, those that `register_consumer` builds too."""
    try:
        return {consumer.topic_name for consumer in declared_consumers()}
    except Exception:  # noqa: BLE001  (a factory of the project may raise anything, and run_consumer shows it)
        return set(subscriptions.by_topic())


def _rules(topic: str, classes: tuple[Any, ...]) -> Iterator[CheckMessage]:
    for serializer_class in classes:
        try:
            require_message_rules(serializer_class, f"The subscription to topic {topic!r}")
        except DeclarationError as error:
            yield Error(
                str(error),
                hint="A serializer needs MESSAGE_TYPE = 'person' and VERSION = 1 (a whole number).",
                obj=serializer_class,
                id="logpipe_signals.E010",
            )
        if not hasattr(serializer_class, "lookup_instance"):
            yield checks.Warning(
                f"{serializer_class.__qualname__} has no lookup_instance: every record of topic {topic!r} makes a new "
                "row, and no delete finds one.",
                hint="Add a classmethod lookup_instance(cls, uuid, **kwargs) that returns the row to update, or None.",
                obj=serializer_class,
                id="logpipe_signals.W003",
            )


def _apart(topic: str, classes: tuple[Any, ...]) -> Iterator[CheckMessage]:
    """Rows and positions move in one transaction, which has one alias."""
    for serializer_class in classes:
        if (aliases := rows_and_positions_apart(serializer_class)) is None:
            continue
        rows, positions = aliases
        yield Error(
            f"{serializer_class.__qualname__} writes on database {rows!r}, and the positions of topic {topic!r} are on "
            f"{positions!r}: a crash between the two would lose or repeat records.",
            hint=f"Set LOGPIPE['CONSUMER_DATABASE'] = {rows!r}, or route both to one database.",
            obj=serializer_class,
            id="logpipe_signals.E024",
        )


def _handled_twice(topic: str, classes: tuple[Any, ...]) -> Iterator[CheckMessage]:
    labels = Counter((getattr(c, "MESSAGE_TYPE", None), getattr(c, "VERSION", None)) for c in classes)
    for (message_type, version), count in labels.items():
        if count > 1 and message_type is not None:
            yield Error(
                f"Topic {topic!r} has {count} subscriptions to {message_type!r} version {version}.",
                hint="One serializer applies a version. Remove the others, or give them another VERSION.",
                id="logpipe_signals.E011",
            )
