"""Every subscription that was declared, by `subscribes`, and the consumers that `register_consumer` was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from logpipe_signals.registry.loading import SerializerClass

if TYPE_CHECKING:
    from logpipe_signals.consuming.consumer import Consumer

SerializerType = TypeVar("SerializerType", bound=SerializerClass)
ConsumerFactory = Callable[[], "Consumer"]
Policy = Literal["dead_letter", "raise", "skip"]
DecidesPolicy = Callable[[Any, Exception], str]
"""Of a record and the error that it met."""
POLICIES: tuple[Policy, ...] = ("dead_letter", "raise", "skip")
Upcaster = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class SubscriptionOptions:
    """
    How a subscription behaves.

    on_error:           A record that cannot be applied: kept as a dead letter, raised (the consumer stops there), or
                        passed over ("skip"). Or a function of record and error that returns one of these, or its
                        dotted path.
    on_unknown_type:    A type that no serializer is registered for.
    on_unknown_version: A version that no serializer is registered for; kept by default, so that none is lost that
                        arrives before the code that reads it.
    on_gap:             Records that the log dropped before they were read: "continue" behind them, or "raise".
    guard:              Drop a record older than what was applied for its identity, where it carries a sequence.
    park:               Later records of an identity wait behind one that failed. None: for messages that are changes,
                        which say so; never for states.
    republish:          Publish what is written while applying back to the topic it came from.
    bulk:               Apply batches set-wise: no `save()`, no signals (see consuming.bulk).
    audit:              Compare the rows with what the publisher's audits say of them (`manage.py audit_topic`).
    upcast:             {older version: function from its message to this serializer's}.
    """

    on_error: Policy | DecidesPolicy | str = "dead_letter"
    on_unknown_type: Policy = "skip"
    on_unknown_version: Policy = "dead_letter"
    on_gap: Literal["continue", "raise"] = "continue"
    guard: bool = True
    park: bool | None = None
    republish: bool = False
    bulk: bool = False
    audit: bool = True
    upcast: Mapping[int, Upcaster] = field(default_factory=dict)

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the name of every option."""
        return frozenset(cls.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Subscribed:
    """A serializer that was subscribed to a topic."""

    topic: str
    serializer_class: SerializerClass
    options: SubscriptionOptions


class SubscriptionRegistry:
    """Serializers by topic, and consumers built by functions."""

    def __init__(self) -> None:
        self._declared: list[Subscribed] = []
        self._factories: list[ConsumerFactory] = []

    def __iter__(self) -> Iterator[Subscribed]:
        return iter(list(self._declared))

    def subscribe(
        self, topic: str, serializer_class: SerializerClass, options: SubscriptionOptions | None = None
    ) -> None:
        """Apply a topic's messages of this serializer's type and version through it."""
        if serializer_class not in self.by_topic().get(topic, ()):
            options = options or SubscriptionOptions()
            self._declared.append(Subscribed(topic=topic, serializer_class=serializer_class, options=options))

    def add_factory(self, factory: ConsumerFactory) -> None:
        """Remember a function that builds a consumer."""
        if factory not in self._factories:
            self._factories.append(factory)

    def by_topic(self) -> dict[str, tuple[SerializerClass, ...]]:
        """Return what `subscribes` declared."""
        classes: dict[str, tuple[SerializerClass, ...]] = {}
        for declared in self._declared:
            classes[declared.topic] = (*classes.get(declared.topic, ()), declared.serializer_class)
        return classes

    def factories(self) -> tuple[ConsumerFactory, ...]:
        """Return what `register_consumer` was given."""
        return tuple(self._factories)

    def clear(self) -> None:
        """Forget everything (for tests)."""
        self._declared.clear()
        self._factories.clear()


subscriptions = SubscriptionRegistry()


def subscribes(topic: str, **options: Any) -> Callable[[SerializerType], SerializerType]:
    """
    Apply a topic's messages through the decorated serializer; several versions may subscribe to one topic.

    Args:
        options: See SubscriptionOptions.

    Raises:
        TypeError: An option does not exist.
    """
    chosen = SubscriptionOptions(**options)

    def declare(serializer_class: SerializerType) -> SerializerType:
        subscriptions.subscribe(topic, serializer_class, chosen)
        return serializer_class

    return declare


def register_consumer(factory: ConsumerFactory) -> ConsumerFactory:
    """Run the consumer that this function builds in `manage.py run_consumer` (django-logpipe's way)."""
    subscriptions.add_factory(factory)
    return factory
