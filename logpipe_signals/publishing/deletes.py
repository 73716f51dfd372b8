"""
What a delete takes with it: the published rows that go, and those whose foreign key is set to another value.

What a delete message needs is read before the delete, from the database, the rows locked: the instance in hand may be
older than its row. One statement a published model reads it, and one writes all outbox rows of the delete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections, models
from django.db.models.deletion import Collector

from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.reading import goes_by_pk_alone
from logpipe_signals.publishing.saves import Plan, parent_link, plan_for
from logpipe_signals.registry import Publication, publications

ROWS_A_READ = 500
Model = type[models.Model]


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
        self._gone = list(self._departing(collector))
        self._pointing = dict(self._repointed(collector))

    def capture(self) -> None:
        """Write the outbox rows of what went and of what lost its foreign key."""
        repointed = [
            outbox.upsert(publication, instance, self.using)
            for publication, pks in self._pointing.items()
            for instance in read_rows(publication, self.using, list(pks))
        ]
        outbox.write(self.using, [*repointed, *self._gone])

    def _departing(self, collector: Collector) -> Iterator[outbox.Intent]:
        for model, instances in collector.data.items():
            leaving = (p for p in publications.for_model(model) if p.options.delete != "ignore")
            for publication in outbox.wanted(leaving):
                for instance in self._as_stored(publication, list(instances)):
                    yield outbox.delete(publication, instance, self.using)

    def _as_stored(self, publication: Publication, instances: list[models.Model]) -> list[models.Model]:
        if goes_by_pk_alone(publication):
            return instances
        return read_rows(publication, self.using, [instance.pk for instance in instances], lock=True)

    def _repointed(self, collector: Collector) -> Iterator[tuple[Publication, list[Any]]]:
        for (field, _), collected in collector.field_updates.items():
            plan = plan_for(field.model)
            if plan is None:
                continue
            pks = [pk for some in collected for pk in _primary_keys(some)]
            for publication in outbox.wanted(_showing(plan)):
                yield publication, _own_primary_keys(publication, field.model, pks, self.using)


def read_rows(publication: Publication, using: str, pks: list[Any], *, lock: bool = False) -> list[models.Model]:
    """Read rows with the publication's relations, past any router and default manager; `lock` keeps others out."""
    found: list[models.Model] = []
    for start in range(0, len(pks), ROWS_A_READ):
        rows = publication.model._base_manager.using(using).filter(pk__in=pks[start : start + ROWS_A_READ])
        rows = rows.select_related(*publication.options.select_related) if publication.options.select_related else rows
        found += _locked(rows, using) if lock else rows
    return found


def _locked(rows: models.QuerySet[Any], using: str) -> models.QuerySet[Any]:
    features = connections[using].features
    if not features.has_select_for_update:
        return rows
    return rows.select_for_update(of=("self",) if features.has_select_for_update_of else ())


def _showing(plan: Plan) -> tuple[Publication, ...]:
    return plan.own + plan.descendants


def _primary_keys(collected: Any) -> list[Any]:
    if isinstance(collected, models.QuerySet):
        return list(collected.values_list("pk", flat=True))
    return [instance.pk for instance in collected]


def _own_primary_keys(publication: Publication, written: Model, pks: list[Any], using: str) -> list[Any]:
    """Return the publication's own primary keys for rows of the table that was written, which may be its parent's."""
    concrete = written._meta.concrete_model or written
    if publication.concrete_model is concrete:
        return pks
    link = parent_link(publication.concrete_model, concrete)
    children = publication.concrete_model._base_manager.using(using).filter(**{f"{link}__in": pks})
    return list(children.values_list("pk", flat=True))
