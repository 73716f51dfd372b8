"""
What a write of a table concerns: the publications of the table, of its multi-table parents, and of its children.

Saving a Dog writes the rows of Dog and Animal, so the publications of both. Saving an Animal changes what a Dog that it
is part of looks like; and whatever a row is shown with (see related) changes with it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from django.db import models

from logpipe_signals.publishing.managers import install
from logpipe_signals.publishing.related import Link, Shown, by_model, shown_by
from logpipe_signals.registry import Publication, publications

Model = type[models.Model]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What a write of one class concerns.

    own:         Publications of the table itself.
    ancestors:   Of multi-table parents, whose rows are written with it.
    descendants: Of multi-table children, whose rows show this one.
    shown:       Of other models, whose rows show this one.
    """

    own: tuple[Publication, ...]
    ancestors: tuple[Publication, ...]
    descendants: tuple[Publication, ...]
    shown: tuple[Shown, ...]

    @property
    def written_shown(self) -> tuple[Shown, ...]:
        """Return those that show more of the row than that it is there."""
        return tuple(shown for shown in self.shown if not shown.link_alone)


@dataclass
class _Derived:
    """What follows from the publications, as of one state of the registry."""

    changes: int = -1
    plans: dict[Model, Plan | None] = field(default_factory=dict)
    shown: dict[Model, tuple[Shown, ...]] = field(default_factory=dict)
    links: dict[Model, tuple[Link, ...]] = field(default_factory=dict)


_derived = _Derived()


def plan_for(model: Model) -> Plan | None:
    """Return what a write of this class concerns; None: nothing is published."""
    derived = _current()
    if model not in derived.plans:
        derived.plans[model] = _make_plan(model)
    return derived.plans[model]


def links() -> dict[Model, tuple[Link, ...]]:
    """Return the many-to-many links that publications show, by their tables."""
    return _current().links


def _current() -> _Derived:
    if _derived.changes != publications.changes:
        found = [shown_by(publication) for publication in publications]
        by_table: dict[Model, tuple[Link, ...]] = defaultdict(tuple)
        for link in (link for _, links in found for link in links):
            by_table[link.through] += (link,)
        _derived.plans.clear()
        _derived.shown = by_model([one for shown, _ in found for one in shown])
        _derived.links = dict(by_table)
        _derived.changes = publications.changes
    return _derived


def _make_plan(model: Model) -> Plan | None:
    concrete = concrete_of(model)
    parents = concrete._meta.get_parent_list()
    plan = Plan(
        own=publications.for_model(concrete),
        ancestors=tuple(p for parent in parents for p in publications.for_model(parent)),
        descendants=tuple(p for p in publications if concrete in p.concrete_model._meta.get_parent_list()),
        shown=tuple(_shown(concrete)),
    )
    if plan.own or plan.descendants or plan.shown:
        install(model)
    return plan if plan.own or plan.ancestors or plan.descendants or plan.shown else None


def _shown(concrete: Model) -> list[Shown]:
    """Return what shows rows of this table: as themselves, as their parents', as the children they are part of."""
    found: list[Shown] = []
    for model, shown in _current().shown.items():
        if model is concrete or model in concrete._meta.get_parent_list():
            found += shown
        elif concrete in model._meta.get_parent_list():
            link = parent_link(model, concrete)
            found += [replace(one, model=concrete, lookup=f"{one.lookup}__{link}") for one in shown]
    return found


def concrete_of(model: Model) -> Model:
    """Return the model that has the table."""
    return model._meta.concrete_model or model


def parent_link(child: Model, ancestor: Model) -> str:
    """Return the lookup from a multi-table child to one of its ancestors: `dog_ptr__animal_ptr`."""
    for parent, link in child._meta.parents.items():
        if link is None:
            continue
        if parent is ancestor:
            return link.name
        if ancestor in parent._meta.get_parent_list():
            return f"{link.name}__{parent_link(parent, ancestor)}"
    raise LookupError(f"{child._meta.label} is no multi-table child of {ancestor._meta.label}.")
