"""A publication: one model on one topic, its options, and what follows from its serializers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from django.db import models

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.pydantic_serializers import is_pydantic, serializer_for
from logpipe_signals.registry.loading import SerializerClass, load_callable, load_serializer

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


def _lookup_parameters(serializer_class: SerializerClass) -> Sequence[str]:
    lookup = getattr(serializer_class, "lookup_instance", None)
    if lookup is None:
        return ()
    parameters = inspect.signature(lookup).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
