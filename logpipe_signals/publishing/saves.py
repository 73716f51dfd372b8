"""
What a saved instance concerns: the publications of its table, of its multi-table parents, and of its children.

Saving a Dog writes the rows of Dog and Animal, so the publications of both. Saving an Animal changes what a Dog that it
is part of looks like: the Dog is looked up, one statement for each published child model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models

from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.reading import pk_of
from logpipe_signals.registry import Publication, publications

Model = type[models.Model]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    The publications that a save of one class concerns.

    own:         Of the table itself.
    ancestors:   Of multi-table parents, whose rows are written with it.
    descendants: Of multi-table children, whose rows show this one.
    """

    own: tuple[Publication, ...]
    ancestors: tuple[Publication, ...]
    descendants: tuple[Publication, ...]


_plans: dict[Model, Plan | None] = {}
_as_of = {"changes": -1}


def plan_for(model: Model) -> Plan | None:
    """Return what a save of this class concerns; None: nothing is published."""
    if _as_of["changes"] != publications.changes:
        _plans.clear()
        _as_of["changes"] = publications.changes
    if model not in _plans:
        _plans[model] = _make_plan(model)
    return _plans[model]


def _make_plan(model: Model) -> Plan | None:
    concrete = model._meta.concrete_model or model
    parents = concrete._meta.get_parent_list()
    plan = Plan(
        own=publications.for_model(concrete),
        ancestors=tuple(p for parent in parents for p in publications.for_model(parent)),
        descendants=tuple(p for p in publications if concrete in p.concrete_model._meta.get_parent_list()),
    )
    return plan if plan.own or plan.ancestors or plan.descendants else None


class Save:
    """One save of one instance."""

    def __init__(
        self, plan: Plan, instance: models.Model, using: str, *, raw: bool, force_insert: bool, update_fields: Any
    ) -> None:
        self.plan = plan
        self.instance = instance
        self.using = using
        self.raw = raw
        self.force_insert = force_insert
        self.update_fields = frozenset(update_fields) if update_fields is not None else None

    def capture(self) -> None:
        """Write the outbox rows of this save."""
        if self.instance.pk is not None:
            outbox.write(self.using, list(self._intents()))

    def _intents(self) -> Iterator[outbox.Intent]:
        for publication in outbox.wanted(self.plan.own):
            if (whole := self._whole(publication)) is not None:
                yield outbox.upsert(publication, whole, self.using)
        for publication in outbox.wanted(self.plan.ancestors):
            if self._writes(publication.concrete_model):
                yield outbox.upsert(publication, self.instance, self.using)
        for publication in outbox.wanted(self.plan.descendants):
            if (child := self._child(publication)) is not None:
                yield outbox.upsert(publication, child, self.using)

    def _whole(self, publication: Publication) -> models.Model | None:
        """Return the instance with all of its columns: a multi-table child from a fixture has its own table's."""
        if self.raw and publication.concrete_model._meta.parents:
            return _fresh(publication, self.using, pk=self.instance.pk)
        return self.instance

    def _writes(self, ancestor: Model) -> bool:
        """Tell whether this save writes the parent's table too: a fixture does not, nor do other update_fields."""
        if self.raw:
            return False
        columns = ancestor._meta.concrete_fields
        return self.update_fields is None or any(
            column.name in self.update_fields or column.attname in self.update_fields for column in columns
        )

    def _child(self, publication: Publication) -> models.Model | None:
        """Return the published child that the saved row is part of. A new row has none, but one from a fixture may."""
        if self.force_insert and not self.raw:
            return None
        saved = type(self.instance)._meta.concrete_model or type(self.instance)
        link = parent_link(publication.concrete_model, saved)
        return _fresh(publication, self.using, **{link: pk_of(saved, self.instance)})


def parent_link(child: Model, ancestor: Model) -> str:
    """Return the lookup from a multi-table child to one of its ancestors: `dog_ptr__animal_ptr`."""
    for parent, field in child._meta.parents.items():
        if field is None:
            continue
        if parent is ancestor:
            return field.name
        if ancestor in parent._meta.get_parent_list():
            return f"{field.name}__{parent_link(parent, ancestor)}"
    raise LookupError(f"{child._meta.label} is no multi-table child of {ancestor._meta.label}.")


def _fresh(publication: Publication, using: str, **lookup: Any) -> models.Model | None:
    found: models.Model | None = publication.concrete_model._base_manager.using(using).filter(**lookup).first()
    return found
