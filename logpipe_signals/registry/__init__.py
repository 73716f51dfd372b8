"""
Publications and subscriptions: which model goes to which topic, through which serializer.

    @publishes("people", "people.serializers.PersonSerializer")
    class Person(models.Model): ...

    publishes("users", UserSerializer)(User)          # a model of another package, in a publishers.py

    @subscribes("people")
    class PersonSerializer(serializers.ModelSerializer): ...

A publication is one model on one topic. Declared again with a serializer of another version or type, it is sent in
both, from one read of the row. Nothing here imports a model or a broker's client; dotted paths are resolved when the
apps are ready, and what does not resolve becomes a system check, not an exception at import.
"""

from __future__ import annotations

from logpipe_signals.registry.loading import SerializerClass, load_callable, load_serializer, require_message_rules
from logpipe_signals.registry.publication import DELETE_MODES, Publication, PublicationOptions
from logpipe_signals.registry.published import PublicationRegistry, publications, publishes
from logpipe_signals.registry.subscribed import (
    POLICIES,
    ConsumerFactory,
    DecidesPolicy,
    Policy,
    Subscribed,
    SubscriptionOptions,
    SubscriptionRegistry,
    Upcaster,
    register_consumer,
    subscribes,
    subscriptions,
)

__all__ = [
    "DELETE_MODES",
    "POLICIES",
    "ConsumerFactory",
    "DecidesPolicy",
    "Policy",
    "Publication",
    "PublicationOptions",
    "PublicationRegistry",
    "SerializerClass",
    "Subscribed",
    "SubscriptionOptions",
    "SubscriptionRegistry",
    "Upcaster",
    "load_callable",
    "load_serializer",
    "publications",
    "publishes",
    "register_consumer",
    "require_message_rules",
    "subscribes",
    "subscriptions",
]
