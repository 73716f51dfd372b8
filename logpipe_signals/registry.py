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

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from django.db import models
from django.db.models.signals import class_prepared
from django.utils.module_loading import import_string

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.pydantic_serializers import is_pydantic, serializer_for

if TYPE_CHECKING:
    from logpipe_signals.consuming.consumer import Consumer

SerializerClass = type[Any]
ModelType = TypeVar("ModelType", bound=type[models.Model])
SerializerType = TypeVar("SerializerType", bound=SerializerClass)
ConsumerFactory = Callable[[], "Consumer"]
PayloadMode = Literal["state", "change"]
CaptureMode = Literal["signals", "triggers"]
DeleteMode = Literal["message", "tombstone", "both", "ignore"]
DELETE_MODES = ("message", "tombstone", "both", "ignore")


@dataclass(frozen=True, kw_only=True)
class PublicationOptions:
    """
    How a publication behaves.

    delete:           What a deleted row sends: a `<type>.deleted` message, a tombstone, both, or nothing ("ignore").
    select_related:   Relations read with the row, as in `QuerySet.select_related`.
    prefetch_related: Relations read with a batch, as in `QuerySet.prefetch_related`.
    lookup_fields:    Serializer fields that a delete message holds, by which the consumer finds the row. By default the
                      named parameters of `lookup_instance`, else KEY_FIELD, else the primary key.
    payload:          "state": the row as it is when it is sent, so that a burst of changes costs one message. "change":
                      each save as its own message, serialised in its transaction and sent in order.
    when:             Publish only rows that this lets through, a Q or a callable of the instance; others are retracted.
    headers:          Further headers of each message: a mapping of texts, or a callable of the instance that gives one,
                      or its dotted path.
    key:              A callable of the instance that gives the message key, or its dotted path, instead of KEY_FIELD.
    watch:            Publish a saved or updated row only if one of these fields changed, judged against the database's
                      row. A new row, a delete and a changed key are always published.
    related:          Relations that the message shows, as lookups from the model ("address", "orders__items"): a change
                      of a row there publishes the rows that show it.
    key_immutable:    KEY_FIELD's column never changes once a row is there, so saves need not look at the old key.
    capture:          "signals": writes through Django. "triggers": PostgreSQL triggers, carried by the migrations of
                      the app that declares the publication, that see every write, raw SQL too.
    """

    delete: DeleteMode = "message"
    select_related: tuple[str, ...] = ()
    prefetch_related: tuple[Any, ...] = ()
    lookup_fields: tuple[str, ...] | None = None
    payload: PayloadMode = "state"
    when: models.Q | Callable[[Any], bool] | None = None
    headers: Mapping[str, str] | Callable[[Any], Mapping[str, str]] | str | None = None
    key: Callable[[Any], Any] | str | None = None
    watch: tuple[str, ...] | None = None
    related: tuple[str, ...] = ()
    key_immutable: bool = False
    capture: CaptureMode = "signals"


class Publication:
    """
    One model on one topic.

    Attributes:
        model: The model that was declared; captures go by its concrete model.
        topic: Where its messages go (Kinesis: the stream).
        name: What outbox rows carry; by default `app.model:topic`. It has to stay the same while rows are pending.
        options: See PublicationOptions.
        declared_by: The abstract model that declared it for its children, or None.
        declared_in: The module that did.
    """

    def __init__(
        self,
        model: type[models.Model],
        topic: str,
        name: str,
        options: PublicationOptions,
        declared_by: type[models.Model] | None = None,
    ) -> None:
        self.model = model
        self.declared_by = declared_by
        self.declared_in = ""
        self.topic = topic
        self.name = name
        self.options = options
        self._declared: list[SerializerClass | str] = []

    def __repr__(self) -> str:
        return f"<Publication {self.name}>"

    def add_serializer(self, serializer: SerializerClass | str) -> None:
        """Send the rows through this serializer too; naming it twice is once."""
        if serializer not in self._declared:
            self._declared.append(serializer)
            self.__dict__.pop("serializer_classes", None)

    @cached_property
    def serializer_classes(self) -> tuple[SerializerClass, ...]:
        """
        The serializers, oldest version first; for a Pydantic model the one that shows rows as it does.

        Raises:
            DeclarationError: A dotted path does not import, or MESSAGE_TYPE or VERSION is missing or wrong.
        """
        named = [load_serializer(declared, f"Publication {self.name!r}") for declared in self._declared]
        loaded = [serializer_for(cls) if is_pydantic(cls) else cls for cls in named]  # type: ignore[arg-type]  # hashable
        return tuple(sorted(loaded, key=lambda cls: (cls.MESSAGE_TYPE, cls.VERSION)))

    @cached_property
    def loads(self) -> bool:
        """Whether the serializers can be used; checks say what is wrong with them."""
        try:
            _ = self.key_provider, self.headers
            return bool(self.serializer_classes)
        except DeclarationError:
            return False

    @property
    def concrete_model(self) -> type[models.Model]:
        """Return the model that has the table."""
        return self.model._meta.concrete_model or self.model

    @cached_property
    def key_provider(self) -> Callable[[Any], Any] | None:
        """
        What gives a row's message key, or None where a field does.

        Raises:
            DeclarationError: Its dotted path does not import.
        """
        return load_callable(self.options.key, f"The key= of publication {self.name!r}")

    @cached_property
    def headers(self) -> Mapping[str, str] | Callable[[Any], Mapping[str, str]] | None:
        """
        The further headers, or what gives them.

        Raises:
            DeclarationError: Its dotted path does not import.
        """
        found = self.options.headers
        if found is None or isinstance(found, Mapping):
            return found
        return load_callable(found, f"The headers= of publication {self.name!r}")

    @cached_property
    def key_field(self) -> str | None:
        """The serializers' KEY_FIELD; None means that the primary key is the key, or what `key_provider` gives."""
        if self.options.key is not None:
            return None
        return getattr(self.serializer_classes[0], "KEY_FIELD", None)

    @cached_property
    def key_column(self) -> models.Field[Any, Any] | None:
        """The model's own column whose text is the key, or None where only the serializer can tell."""
        if self.options.key is not None:
            return None
        name = self.key_field
        if name is None:
            return self.model._meta.pk
        field = self.serializer_classes[0]().fields.get(name)
        source = str(getattr(field, "source", ""))
        columns = {column.name: column for column in self.model._meta.concrete_fields}
        return columns.get(source) or next((c for c in columns.values() if c.attname == source), None)

    @cached_property
    def lookup_fields(self) -> tuple[str, ...]:
        """The serializer fields a delete message holds."""
        if self.options.lookup_fields is not None:
            return self.options.lookup_fields
        serializer_class = self.serializer_classes[0]
        fields = serializer_class().fields
        named = [name for name in _lookup_parameters(serializer_class) if name in fields]
        pk = self.model._meta.pk
        key_field = getattr(serializer_class, "KEY_FIELD", None)
        return (
            tuple(named)
            or tuple(name for name in (key_field, getattr(pk, "name", None), "pk") if name and name in fields)[:1]
        )


class PublicationRegistry:
    """All publications by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Publication] = {}
        self._by_table: dict[type[models.Model], tuple[Publication, ...]] = {}
        self._abstract: list[tuple[type[models.Model], Callable[[type[models.Model]], object]]] = []
        self.problems: list[DeclarationError] = []
        self.changes = 0
        """Grows with each declaration, so that what was derived from them can be thrown away."""
        self.hooks: list[Callable[[], object]] = []
        """Called after each declaration, once the apps are ready."""

    def __iter__(self) -> Iterator[Publication]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Publication:
        return self._by_name[name]

    def sendable(self, payload: PayloadMode) -> tuple[str, ...]:
        """
        Return the names of those that send states, or changes, and whose serializers load.

        Checks tell of those that do not load; their rows have to wait.
        """
        return tuple(p.name for p in self if p.options.payload == payload and p.loads)

    def get(self, name: str) -> Publication | None:
        """Return the publication of a name, or None: an outbox row may carry one of another release."""
        return self._by_name.get(name)

    def declare(
        self,
        model: type[models.Model],
        topic: str,
        serializer: SerializerClass | str,
        *,
        name: str | None,
        options: PublicationOptions,
        declared_by: type[models.Model] | None = None,
    ) -> Publication:
        """Add a serializer to the publication of a model on a topic, making it when it is the first."""
        name = name or f"{model._meta.label_lower}:{topic}"
        publication = self._by_name.setdefault(name, Publication(model, topic, name, options, declared_by))
        if (publication.model, publication.topic) != (model, topic):
            self._complain(f"Two publications are named {name!r}. Give one of them another name=.")
        elif publication.options != options:
            self._complain(
                f"Publication {name!r} is declared twice with different options. Use the same, or another name=."
            )
        publication.add_serializer(serializer)
        self._changed()
        return publication

    def declare_abstract(self, base: type[models.Model], declare: Callable[[type[models.Model]], object]) -> None:
        """Declare for each concrete model that inherits from an abstract one, now and later."""
        self._abstract.append((base, declare))
        for known in _concrete_below(base):
            declare(known)

    def prepare(self, sender: type[models.Model], **_: Any) -> None:
        """Declare what an abstract base of a new model declared."""
        if sender._meta.abstract or sender._meta.proxy:
            return
        for base, declare in self._abstract:
            if issubclass(sender, base) and not any(issubclass(p, base) for p in sender._meta.parents):
                declare(sender)

    def for_model(self, model: type[models.Model]) -> tuple[Publication, ...]:
        """Return the publications whose rows live in this model's table."""
        concrete = model._meta.concrete_model or model
        if concrete not in self._by_table:
            self._by_table[concrete] = tuple(p for p in self if p.concrete_model is concrete)
        return self._by_table[concrete]

    def forget(self, publication: Publication) -> None:
        """Remove a publication (for tests)."""
        self._by_name.pop(publication.name, None)
        self._changed()

    def _changed(self) -> None:
        self._by_table.clear()
        self.changes += 1
        for hook in self.hooks:
            hook()

    def _complain(self, text: str) -> None:
        self.problems.append(DeclarationError(text))


publications = PublicationRegistry()
class_prepared.connect(publications.prepare)


def publishes(
    topic: str, serializer: SerializerClass | str, *, name: str | None = None, **options: Any
) -> Callable[[ModelType], ModelType]:
    """
    Publish every committed change of a model to a topic.

    A decorator of a model (an abstract one declares for its children), and a plain call for models of other packages:
    `publishes("users", UserSerializer)(User)`.

    Args:
        topic: The topic's name (Kinesis: the stream's).
        serializer: A serializer class with MESSAGE_TYPE and VERSION, or its dotted path.
        name: What outbox rows carry instead of `app.model:topic`.
        options: See PublicationOptions.

    Raises:
        TypeError: An option does not exist.
    """
    listed: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    chosen = PublicationOptions(**listed)

    module = sys._getframe(1).f_globals.get("__name__", "")

    def declare_for(model: type[models.Model], declared_by: type[models.Model] | None = None) -> None:
        publication = publications.declare(model, topic, serializer, name=name, options=chosen, declared_by=declared_by)
        publication.declared_in = publication.declared_in or module

    def declare(model: ModelType) -> ModelType:
        if model._meta.abstract:
            publications.declare_abstract(model, partial(declare_for, declared_by=model))
        else:
            declare_for(model)
        return model

    return declare


def load_serializer(declared: SerializerClass | str, owner: str) -> SerializerClass:
    """
    Import a serializer and hold it to django-logpipe's rules.

    Raises:
        DeclarationError: With the rule that is broken and the cure.
    """
    serializer_class = declared
    if isinstance(declared, str):
        try:
            serializer_class = import_string(declared)
        except ImportError as error:
            raise DeclarationError(
                f"{owner} names the serializer {declared!r}, which does not import: {error}"
            ) from error
    return require_message_rules(serializer_class, owner)


def load_callable(declared: Callable[..., Any] | str | None, owner: str) -> Callable[..., Any] | None:
    """
    Return a function that is named by its dotted path, or given itself.

    Raises:
        DeclarationError: The path does not import, or names nothing that can be called.
    """
    if declared is None:
        return None
    found: Any = declared
    if isinstance(declared, str):
        try:
            found = import_string(declared)
        except ImportError as error:
            raise DeclarationError(f"{owner} names {declared!r}, which does not import: {error}") from error
    if not callable(found):
        raise DeclarationError(f"{owner} is {declared!r}, which cannot be called. Name a function.")
    function: Callable[..., Any] = found
    return function


def require_message_rules(serializer_class: Any, owner: str) -> SerializerClass:
    """Return the class if it has MESSAGE_TYPE (text) and VERSION (a positive integer); else raise DeclarationError."""
    message_type = getattr(serializer_class, "MESSAGE_TYPE", None)
    version = getattr(serializer_class, "VERSION", None)
    label = getattr(serializer_class, "__qualname__", repr(serializer_class))
    if not isinstance(message_type, str) or not message_type:
        raise DeclarationError(f"{owner}: {label} has no MESSAGE_TYPE. Add one, such as MESSAGE_TYPE = 'person'.")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DeclarationError(f"{owner}: {label} has VERSION = {version!r}. It has to be a whole number from 1 on.")
    loaded: SerializerClass = serializer_class
    return loaded


def _concrete_below(base: type[models.Model]) -> Iterator[type[models.Model]]:
    """Yield the models that an abstract one gives a table, and not what inherits from those."""
    for child in base.__subclasses__():
        if child._meta.abstract:
            yield from _concrete_below(child)
        elif not child._meta.proxy:
            yield child


def _lookup_parameters(serializer_class: SerializerClass) -> Sequence[str]:
    lookup = getattr(serializer_class, "lookup_instance", None)
    if lookup is None:
        return ()
    parameters = inspect.signature(lookup).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


# --- the other side ---------------------------------------------------------------------------------------------------

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


__all__ = [
    "DELETE_MODES",
    "Publication",
    "PublicationOptions",
    "Subscribed",
    "SubscriptionOptions",
    "load_callable",
    "load_serializer",
    "publications",
    "publishes",
    "register_consumer",
    "require_message_rules",
    "subscribes",
    "subscriptions",
]
