"""
What a write of a table concerns: the publications of the table, of its multi-table parents, and of its children.

Saving a Dog writes the rows of Dog and Animal, so the publications of both. Saving an Animal changes what a Dog that it
is part of looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models

from logpipe_signals.publishing.managers import install
from logpipe_signals.registry import Publication, publications

Model = type[models.Model]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    The publications that a write of one class concerns.

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
    """Return what a write of this class concerns; None: nothing is published."""
    if _as_of["changes"] != publications.changes:
        _plans.clear()
        _as_of["changes"] = publications.changes
    if model not in _plans:
        _plans[model] = _make_plan(model)
    return _plans[model]


def _make_plan(model: Model) -> Plan | None:
    concrete = concrete_of(model)
    parents = concrete._meta.get_parent_list()
    plan = Plan(
        own=publications.for_model(concrete),
        ancestors=tuple(p for parent in parents for p in publications.for_model(parent)),
        descendants=tuple(p for p in publications if concrete in p.concrete_model._meta.get_parent_list()),
    )
    if plan.own or plan.descendants:
        install(model)
    return plan if plan.own or plan.ancestors or plan.descendants else None


def concrete_of(model: Model) -> Model:
    """Return the model that has the table."""
    return model._meta.concrete_model or model


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
