"""
What a delete takes with it: the published rows that go, and those whose foreign key is set to another value.

What a delete message needs is read before the delete, from the database, the rows locked: the instance in hand may be
older than its row. One statement a published model reads it, and one writes all outbox rows of the delete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.models.deletion import Collector

from logpipe_signals.publishing import before, outbox
from logpipe_signals.publishing.plans import Model, concrete_of, parent_link, plan_for
from logpipe_signals.publishing.reading import goes_by_pk_alone
from logpipe_signals.publishing.suspend import opted_out, publishable
from logpipe_signals.registry import Publication, publications


def is_published(model: Model) -> bool:
    """Tell whether a deleted row of this class leaves a message."""
    return any(p.options.delete != "ignore" for p in publications.for_model(model))


def concerns(collector: Collector) -> bool:
    """Tell whether a collected delete touches anything published."""
    return any(is_published(model) for model in collector.data) or any(
        plan_for(field.model) is not None for field, _ in collector.field_updates
    )


class Departure:
    """One collected delete: made before it happens, captured after."""

    def __init__(self, collector: Collector) -> None:
        self.using = str(collector.using)
        self._gone = [
            intent
            for model, instances in collector.data.items()
            for intent in departing(model, [i for i in instances if not opted_out(i)], self.using)
        ]
        self._repointed = {
            publication: before.read_locked(publication, self.using, list(pks))
            for publication, pks in _repointed(collector, self.using).items()
        }

    def capture(self) -> None:
        """Write the outbox rows of what went and of what lost its foreign key."""
        intents = [intent for p, old in self._repointed.items() for intent in before.changes(p, old, self.using)]
        outbox.write(self.using, [*intents, *self._gone])


def departing(model: Model, instances: list[Any], using: str) -> Iterator[outbox.Intent]:
    """Return what is published of rows that are about to be deleted, reading and locking them where that is needed."""
    leaving = (p for p in publications.for_model(model) if p.options.delete != "ignore")
    for publication in publishable(leaving):
        stored = instances
        if not goes_by_pk_alone(publication):
            stored = before.read_locked(publication, using, [instance.pk for instance in instances])
        for instance in stored:
            yield outbox.delete(publication, instance, using)


def _repointed(collector: Collector, using: str) -> dict[Publication, set[Any]]:
    """Return the published rows whose foreign keys the delete sets: to NULL, to a default."""
    found: dict[Publication, set[Any]] = defaultdict(set)
    for (field, _), collected in collector.field_updates.items():
        plan = plan_for(field.model)
        if plan is None:
            continue
        pks = [pk for some in collected for pk in _primary_keys(some)]
        for publication in publishable((*plan.own, *plan.descendants)):
            found[publication].update(_own_primary_keys(publication, field.model, pks, using))
    return found


def _primary_keys(collected: Any) -> list[Any]:
    if isinstance(collected, models.QuerySet):
        return list(collected.values_list("pk", flat=True))
    return [instance.pk for instance in collected]


def _own_primary_keys(publication: Publication, written: Model, pks: list[Any], using: str) -> list[Any]:
    """Return the publication's own primary keys for rows of the table that was written, which may be its parent's."""
    concrete = concrete_of(written)
    if publication.concrete_model is concrete:
        return pks
    link = parent_link(publication.concrete_model, concrete)
    children = publication.concrete_model._base_manager.using(using).filter(**{f"{link}__in": pks})
    return list(children.values_list("pk", flat=True))
