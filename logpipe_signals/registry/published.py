"""Every publication that was declared, by `publishes`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from django.db import models
from django.db.models.signals import class_prepared

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry.loading import SerializerClass
from logpipe_signals.registry.publication import PayloadMode, Publication, PublicationOptions

ModelType = TypeVar("ModelType", bound=type[models.Model])


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


def _concrete_below(base: type[models.Model]) -> Iterator[type[models.Model]]:
    """Yield the models that an abstract one gives a table, and not what inherits from those."""
    for child in base.__subclasses__():
        if child._meta.abstract:
            yield from _concrete_below(child)
        elif not child._meta.proxy:
            yield child
