"""
What a delete takes with it: the published rows that go, and those whose foreign key is set to another value.

What a delete message needs is read before the delete, from the database, the rows locked: the instance in hand may be
older than its row. One statement a published model reads it, and one writes all outbox rows of the delete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import connections, models
from django.db.models.deletion import Collector

from logpipe_signals.publishing import before, outbox, triggers
from logpipe_signals.publishing.plans import Model, concrete_of, parent_link, plan_for
from logpipe_signals.publishing.reading import goes_by_pk_alone
from logpipe_signals.publishing.returning import returned_rows
from logpipe_signals.publishing.suspend import opted_out, publishable
from logpipe_signals.registry import Publication, publications


def is_published(model: Model) -> bool:
    """Tell whether a deleted row of this class leaves a message, its own or that of a row that shows it."""
    plan = plan_for(model)
    return plan is not None and (bool(plan.shown) or any(p.options.delete != "ignore" for p in plan.own))


def concerns(collector: Collector) -> bool:
    """Tell whether a collected delete touches anything published."""
    return any(is_published(model) for model in collector.data) or any(
        plan_for(field.model) is not None for field, _ in collector.field_updates
    )


class Departure:
    """One collected delete: made before it happens, captured after."""

    def __init__(self, collector: Collector) -> None:
        self.using = str(collector.using)
        self._gone: list[outbox.Intent] = []
        self._unseen: dict[Publication, set[Any]] = {}
        self.instances = [instance for collected in collector.data.values() for instance in collected]
        for model, collected in collector.data.items():
            instances = [instance for instance in collected if not opted_out(instance)]
            pks = [instance.pk for instance in instances]
            _lock_moving(model, pks, self.using)
            publish_showing(model, pks, self.using)
            for publication, leaving in departing(model, instances, self.using):
                self._gone += [outbox.delete(publication, instance, self.using) for instance in leaving]
                if unseen := set(pks) - {instance.pk for instance in leaving}:
                    self._unseen[publication] = unseen
        self._repointed = {
            publication: before.read_locked(publication, self.using, list(pks))
            for publication, pks in _repointed(collector, self.using).items()
        }

    def watched(self) -> AbstractContextManager[None]:
        """Let the database tell of rows that nobody saw before the delete, because they were made again since."""
        if not self._unseen:
            return nullcontext()
        return returned_rows(self.using, list(self._unseen), self._came_back)

    def _came_back(self, publication: Publication, row: models.Model) -> None:
        if row.pk in self._unseen[publication]:
            self._gone.append(outbox.delete(publication, row, self.using))

    def capture(self) -> None:
        """Write the outbox rows of what went and of what lost its foreign key."""
        intents = [intent for p, old in self._repointed.items() for intent in before.changes(p, old, self.using)]
        outbox.write(self.using, [*intents, *self._gone])


def departing(model: Model, instances: list[Any], using: str) -> Iterator[tuple[Publication, list[Any]]]:
    """Yield the published rows that are about to be deleted, reading and locking them where that is needed."""
    leaving = [p for p in publications.for_model(model) if p.options.delete != "ignore"]
    triggers.wake_for(leaving, using)
    for publication in triggers.by_signals(publishable(leaving), using):
        stored = instances
        if not goes_by_pk_alone(publication):
            stored = before.read_locked(publication, using, [instance.pk for instance in instances])
        yield publication, stored


def publish_showing(model: Model, pks: list[Any], using: str, *, moved: bool = False, written: bool = False) -> None:
    """
    Publish the rows of other models that show these, of any number, which are about to be deleted.

    Args:
        moved: They are about to be written: publish what they may move away from.
        written: They were written: leave out what shows only that they are there.
    """
    plan = plan_for(model)
    for shown in plan.shown if plan is not None and pks else ():
        if (moved and not shown.moves) or (written and shown.link_alone):
            continue
        if publishable([shown.publication]):
            for start in range(0, len(pks), before.ROWS_A_READ):
                some = own_pks(shown.model, model, pks[start : start + before.ROWS_A_READ], using)
                if written:
                    shown.publish_written(some, using)
                else:
                    shown.publish_leaving(some, using)


def _lock_moving(model: Model, pks: list[Any], using: str) -> None:
    """Keep rows that may move as they are: who shows them is asked next, and has to be right until they are gone."""
    plan = plan_for(model)
    if plan is None or not any(shown.moves for shown in plan.shown):
        return
    rows = concrete_of(model)._base_manager.using(using).only("pk").order_by("pk")
    for start in range(0, len(pks), before.ROWS_A_READ) if connections[using].features.has_select_for_update else ():
        list(before.locked(rows.filter(pk__in=pks[start : start + before.ROWS_A_READ]), using))


def own_pks(model: Model, written: Model, pks: list[Any], using: str) -> list[Any]:
    """Return a table's own primary keys for written rows of another of its multi-table family."""
    concrete, model = concrete_of(written), concrete_of(model)
    if model is concrete:
        return pks
    if model in concrete._meta.get_parent_list():
        link = parent_link(concrete, model)
        return list(concrete._base_manager.using(using).filter(pk__in=pks).values_list(link, flat=True))
    link = parent_link(model, concrete)
    return list(model._base_manager.using(using).filter(**{f"{link}__in": pks}).values_list("pk", flat=True))


def _repointed(collector: Collector, using: str) -> dict[Publication, set[Any]]:
    """Return the published rows whose foreign keys the delete sets: to NULL, to a default."""
    found: dict[Publication, set[Any]] = defaultdict(set)
    for (field, _), collected in collector.field_updates.items():
        plan = plan_for(field.model)
        if plan is None:
            continue
        pks = [pk for some in collected for pk in _primary_keys(some)]
        for publication in triggers.by_signals(publishable((*plan.own, *plan.descendants)), using):
            found[publication].update(own_pks(publication.concrete_model, field.model, pks, using))
    return found


def _primary_keys(collected: Any) -> list[Any]:
    if isinstance(collected, models.QuerySet):
        return list(collected.values_list("pk", flat=True))
    return [instance.pk for instance in collected]
