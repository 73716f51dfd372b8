"""Publications: serializers, keys, options, and no two that send the same messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import models

from logpipe_signals import backend
from logpipe_signals.checks.triggers import check_triggers
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.publishing.managers import publishes_sets
from logpipe_signals.publishing.reading import fields_of
from logpipe_signals.publishing.related import steps
from logpipe_signals.registry import DELETE_MODES, Publication, publications


def check_publications(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the publications."""
    sound = []
    found: list[CheckMessage] = [_contradiction(problem) for problem in publications.problems]
    for publication in publications:
        try:
            broken = list(_serializers(publication))
        except DeclarationError as error:
            broken = [_undeclarable(publication, error)]
        found += broken
        if not broken:
            sound.append(publication)
            found += _options(publication)
    return found + list(_sent_twice(sound))


def _contradiction(problem: DeclarationError) -> Error:
    return Error(
        str(problem),
        hint="Make the declarations agree, or give one of them a name= of its own.",
        id="logpipe_signals.E003",
    )


def _undeclarable(publication: Publication, error: DeclarationError) -> Error:
    return Error(
        str(error),
        hint="A serializer needs MESSAGE_TYPE = 'person' and VERSION = 1 (a whole number), and a dotted path has to "
        "name a class in a module that imports.",
        obj=publication.model,
        id="logpipe_signals.E001",
    )


def _serializers(publication: Publication) -> Iterator[CheckMessage]:
    for serializer_class in publication.serializer_classes:
        fields = fields_of(serializer_class)
        for name in _key_fields(publication, serializer_class):
            if name not in fields:
                yield Error(
                    f"KEY_FIELD of {serializer_class.__qualname__} is {name!r}, which is no field of it.",
                    hint=f"Name one of its fields: {', '.join(fields)}.",
                    obj=publication.model,
                    id="logpipe_signals.E002",
                )
        for name in publication.options.lookup_fields or ():
            if name not in fields:
                yield Error(
                    f"Publication {publication.name!r} names the lookup field {name!r}, which "
                    f"{serializer_class.__qualname__} does not have.",
                    hint=f"Choose lookup_fields= among: {', '.join(fields)}.",
                    obj=publication.model,
                    id="logpipe_signals.E007",
                )


def _key_fields(publication: Publication, serializer_class: Any) -> set[str]:
    return {name for name in (getattr(serializer_class, "KEY_FIELD", None), publication.key_field) if name}


def _options(publication: Publication) -> Iterator[CheckMessage]:
    mode = publication.options.delete
    if mode not in DELETE_MODES:
        yield Error(
            f"Publication {publication.name!r} has delete={mode!r}, which is no way to delete.",
            hint=f"Choose one of: {', '.join(DELETE_MODES)}.",
            obj=publication.model,
            id="logpipe_signals.E005",
        )
    if mode in ("tombstone", "both") and not _key_is_unique(publication):
        yield Error(
            f"Publication {publication.name!r} sends tombstones, but several rows may share a key.",
            hint=f"A tombstone deletes all there is of its key. Make {publication.key_field!r} unique, key by the "
            "primary key, or use delete='message'.",
            obj=publication.model,
            id="logpipe_signals.E006",
        )
    if mode in ("tombstone", "both") and not _log_has_tombstones():
        yield Error(
            f"Publication {publication.name!r} sends tombstones to {settings.PRODUCER_BACKEND}, which has none.",
            hint="Use delete='message': it works on every log.",
            obj=publication.model,
            id="logpipe_signals.E021",
        )
    if mode in ("message", "both") and not publication.lookup_fields:
        yield Error(
            f"Publication {publication.name!r} sends delete messages that say of no row which one it was.",
            hint="Name lookup_fields=(...) by which the other side finds the row, add the primary key to the "
            "serializer, or use delete='ignore'.",
            obj=publication.model,
            id="logpipe_signals.E008",
        )
    yield from _relations(publication)
    yield from _named_fields(publication)
    if publication.options.capture == "triggers":
        yield from check_triggers(publication)
    else:
        yield from _unseen_deletes(publication)
        yield from _unseen_sets(publication)


def _log_has_tombstones() -> bool:
    try:
        return backend.producer_class().supports_tombstones
    except DeclarationError:
        return True  # A backend that does not import is another check's finding.


def _key_is_unique(publication: Publication) -> bool:
    column = publication.key_column
    if column is None:
        return False
    return column.unique or column in _sole_constraints(publication.model)


def _sole_constraints(model: type[models.Model]) -> set[Any]:
    constraints = model._meta.total_unique_constraints
    names = {constraint.fields[0] for constraint in constraints if len(constraint.fields) == 1}
    return {field for field in model._meta.concrete_fields if field.name in names}


def _relations(publication: Publication) -> Iterator[CheckMessage]:
    rows = publication.model._base_manager.all()
    selected = publication.options.select_related
    try:
        str((rows.select_related(*selected) if selected else rows).query)
        for lookup in publication.options.prefetch_related:
            _follow(publication.model, getattr(lookup, "prefetch_through", lookup))
    except (FieldError, LookupError) as error:
        yield Error(
            f"Publication {publication.name!r} reads relations that are not there: {error}",
            hint="Correct select_related= or prefetch_related=.",
            obj=publication.model,
            id="logpipe_signals.E009",
        )


def _follow(model: type[models.Model], lookup: str) -> None:
    """Raise LookupError where a prefetch's path leaves the models; what is no field may be a property, and passes."""
    for name in lookup.split("__"):
        relations = {_accessor(field): field for field in model._meta.get_fields()}
        if name not in relations and not hasattr(model, name):
            raise LookupError(f"{model._meta.label} has no {name!r}")
        target = getattr(relations.get(name), "related_model", None)
        if target is None:
            return
        model = target


def _accessor(field: Any) -> str:
    accessor = getattr(field, "get_accessor_name", None)
    return (accessor() or "") if accessor is not None else str(field.name)


def _named_fields(publication: Publication) -> Iterator[CheckMessage]:
    for name in publication.options.watch or ():
        try:
            publication.model._meta.get_field(name)
        except FieldDoesNotExist as error:
            yield Error(
                f"Publication {publication.name!r} watches {name!r}: {error}",
                hint="Name fields of the model in watch=.",
                obj=publication.model,
                id="logpipe_signals.E016",
            )
    for path in publication.options.related:
        try:
            models_on_the_way = [step.model for step in steps(publication.model, path)]
        except FieldDoesNotExist as error:
            yield Error(
                f"Publication {publication.name!r} shows related={path!r}: {error}",
                hint="Name relations in related=, as in filter(): 'address', 'lines__product'.",
                obj=publication.model,
                id="logpipe_signals.E017",
            )
        else:
            yield from _unseen_related(publication, models_on_the_way)


def _unseen_related(publication: Publication, shown: list[type[models.Model]]) -> Iterator[CheckMessage]:
    for model in shown:
        if not all(map(publishes_sets, model._meta.managers)):
            yield checks.Warning(
                f"Publication {publication.name!r} shows {model._meta.label}, whose managers do not publish what "
                "update(), bulk_create() and bulk_update() write.",
                hint=f"Give {model._meta.label} a logpipe_signals.managers.PublishingManager.",
                obj=publication.model,
                id="logpipe_signals.W007",
            )


def _unseen_deletes(publication: Publication) -> Iterator[CheckMessage]:
    cascade = getattr(models, "DB_CASCADE", None)  # Django 6.1 brings it.
    for field in publication.model._meta.concrete_fields:
        if cascade is not None and field.remote_field is not None and field.remote_field.on_delete is cascade:
            yield checks.Warning(
                f"{publication.model._meta.label}.{field.name} is DB_CASCADE: the database deletes these rows unseen.",
                hint="Use CASCADE, or capture='triggers' on PostgreSQL.",
                obj=publication.model,
                id="logpipe_signals.W005",
            )


def _unseen_sets(publication: Publication) -> Iterator[CheckMessage]:
    meta: Any = publication.concrete_model._meta
    for manager in meta.managers:
        if not publishes_sets(manager):
            yield checks.Warning(
                f"{meta.label}.{manager.name} does not publish what update(), bulk_create() and bulk_update() write.",
                hint="Make it a logpipe_signals.managers.PublishingManager, or build it from a PublishingQuerySet; for "
                "a model that is not yours, capture='triggers' on PostgreSQL sees every write.",
                obj=publication.model,
                id="logpipe_signals.W006",
            )


def _sent_twice(sound: list[Publication]) -> Iterator[CheckMessage]:
    senders = defaultdict(list)
    for publication in sound:
        for serializer_class in publication.serializer_classes:
            senders[publication.topic, serializer_class.MESSAGE_TYPE, serializer_class.VERSION].append(publication)
    for (topic, message_type, version), owners in senders.items():
        if len(owners) > 1 and not _siblings(owners):
            names = ", ".join(repr(name) for name in sorted({owner.name for owner in owners}))
            yield Error(
                f"Topic {topic!r} gets {message_type!r} version {version} from more than one serializer: {names}.",
                hint="Give one of them another MESSAGE_TYPE or VERSION, another topic, or remove it. Children of one "
                "abstract model may share a serializer where their primary keys are UUIDs.",
                id="logpipe_signals.E004",
            )


def _siblings(owners: list[Publication]) -> bool:
    """Tell whether one abstract model declared them all, and no two of its children's rows have one primary key."""
    declarers = {owner.declared_by for owner in owners}
    unmistakable = all(isinstance(owner.model._meta.pk, models.UUIDField) for owner in owners)
    return len(declarers) == 1 and None not in declarers and unmistakable
