"""
What is shown with a row: a change of it publishes the rows that show it, found by the database and not loaded.

    @publishes("orders", OrderSerializer, related=["address", "lines__product"])

A change of an Address publishes the orders at it, a change of a Product those with a line of it; who that is is looked
up after the commit (see showing). Where the link is in the changed row itself (a line moves from one order to another)
the rows are looked for at once, before the change and after it; a deleted row's before it goes. The links of
many-to-many fields are `m2m`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from logpipe_signals.publishing import setwise, showing
from logpipe_signals.registry import Publication

Model = type[models.Model]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """
    Rows of a model that a publication's rows show.

    model:      Theirs; its primary key is what `lookup` takes.
    lookup:     From the publication's model to them.
    moves:      They hold the link themselves, so that a change of them may concern other rows before than after.
    link_alone: Only that they are there is shown, so that nothing but their delete changes anything.
    """

    publication: Publication
    model: Model
    lookup: str
    moves: bool = False
    link_alone: bool = False

    def publish_leaving(self, pks: Sequence[Any], using: str) -> None:
        """Publish the rows that show any of these, which are locked, and about to be moved or deleted."""
        prefix, _, last = self.lookup.rpartition("__")
        if not prefix:
            self._publish_now(pks, using)
            return
        *_, step = steps(self.publication.model, prefix)
        holders = step.model._base_manager.using(using).filter(**{f"{last}__in": list(pks)})
        showing.publish(
            self.publication, using, step.model, prefix, list(holders.values_list("pk", flat=True).distinct())
        )

    def publish_written(self, pks: Sequence[Any], using: str) -> None:
        """Publish the rows that show any of these, which were written and so are locked."""
        if self.moves and "__" not in self.lookup:
            self._publish_now(pks, using)  # Who shows them is told by their own columns.
        else:
            showing.publish(self.publication, using, self.model, self.lookup, pks)

    def _publish_now(self, pks: Sequence[Any], using: str) -> None:
        setwise.publish(self.publication, using, **{f"{self.lookup}__in": list(pks)})


@dataclass(frozen=True, kw_only=True)
class Link:
    """
    A many-to-many relation on the way to what is shown.

    through: Its table.
    near:    The model of the rows on its near side.
    holder:  Lookup from the publication's model to those rows.
    far:     Lookup to those on the far side.
    reverse: The near side is the one that the field points to.
    symmetrical: Both sides are near: who is somebody's friend has that one for a friend.
    """

    publication: Publication
    through: Model
    near: Model
    holder: str
    far: str
    reverse: bool
    symmetrical: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One relation of a path."""

    field: Any
    holder: str
    lookup: str

    @property
    def model(self) -> Model:
        """Return what it leads to."""
        target: Model = self.field.related_model
        return target._meta.concrete_model or target


def steps(model: Model, path: str) -> Iterator[Step]:
    """
    Yield the relations of a path, as in `filter(path=...)`.

    Raises:
        FieldDoesNotExist: A part names nothing, or no relation.
    """
    lookups: list[str] = []
    for name in path.split("__"):
        field: Any = model._meta.get_field(name)
        if field.related_model is None:
            raise FieldDoesNotExist(f"{model._meta.label}.{name} is no relation")
        yield Step(field=field, holder="__".join(lookups) or "pk", lookup="__".join([*lookups, name]))
        lookups.append(name)
        model = field.related_model


def shown_by(publication: Publication) -> tuple[list[Shown], list[Link]]:
    """Return what a publication shows; paths that lead nowhere are a check's to tell."""
    shown: list[Shown] = []
    links: list[Link] = []
    for path, with_rows in _paths(publication):
        try:
            found = list(steps(publication.model, path))
        except FieldDoesNotExist:
            continue
        for step in found:
            if step.field.many_to_many:
                link = _link(publication, step)
                links.append(link)
                shown += _rows_of_the_link(publication, step, link)
            moves = not step.field.concrete and not step.field.many_to_many
            shown.append(
                Shown(
                    publication=publication,
                    model=step.model,
                    lookup=step.lookup,
                    moves=moves and with_rows,
                    link_alone=not with_rows,
                )
            )
    return list(dict.fromkeys(shown)), list(dict.fromkeys(links))


def _paths(publication: Publication) -> Iterator[tuple[str, bool]]:
    """Yield the declared paths, and the model's own many-to-many fields, whose links count and whose rows do not."""
    watch = publication.options.watch
    for field in publication.model._meta.many_to_many:
        if watch is None or field.name in watch:
            yield field.name, False
    for path in publication.options.related:
        yield path, True


def _link(publication: Publication, step: Step) -> Link:
    reverse = step.field.auto_created
    through = step.field.through if reverse else step.field.remote_field.through
    return Link(
        publication=publication,
        through=through,
        near=step.field.model,
        holder=step.holder,
        far=step.lookup,
        reverse=reverse,
        symmetrical=not reverse and bool(step.field.remote_field.symmetrical),
    )


def _rows_of_the_link(publication: Publication, step: Step, link: Link) -> list[Shown]:
    """A through model of the project's own is written like any other, without m2m_changed."""
    if link.through._meta.auto_created:
        return []
    field = step.field.remote_field if link.reverse else step.field
    name = field.m2m_reverse_field_name() if link.reverse else field.m2m_field_name()
    back: Any = link.through._meta.get_field(name)
    prefix = "" if link.holder == "pk" else f"{link.holder}__"
    lookup = prefix + back.remote_field.name
    return [Shown(publication=publication, model=link.through, lookup=lookup, moves=True)]


def by_model(found: list[Shown]) -> dict[Model, tuple[Shown, ...]]:
    """Return what is shown by the model that is changed."""
    index: dict[Model, tuple[Shown, ...]] = defaultdict(tuple)
    for shown in found:
        index[shown.model] += (shown,)
    return dict(index)
