"""What can be backfilled: a publication on a database alias, found by model, publication's name or topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.db import connections, models, router

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.claim import BACKFILL
from logpipe_signals.publishing.outbox import lane_count
from logpipe_signals.registry import Publication, publications


@dataclass(frozen=True, kw_only=True)
class Target:
    """A publication on one database alias."""

    publication: Publication
    using: str

    def rows(self) -> models.QuerySet[Any]:
        """Return its rows in the order of the primary key, past any router and default manager."""
        return self.publication.model._base_manager.using(self.using).order_by("pk")

    @property
    def keeps_changes(self) -> bool:
        """Tell whether the outbox holds what is sent, and not only which row changed."""
        return self.publication.options.payload == "change"

    def waiting(self) -> models.QuerySet[OutboxRow]:
        """Return the backfilled rows in the outbox; of changes, all rows: nothing tells them apart, nor overtakes."""
        rows = OutboxRow.objects.using(self.using).filter(publication=self.publication.name)
        return rows if self.keeps_changes else backfilled(self.using).filter(publication=self.publication.name)


def backfilled(using: str) -> models.QuerySet[OutboxRow]:
    """Return the rows of all backfills in an outbox; naming the lanes lets the database read nothing else."""
    return OutboxRow.objects.using(using).filter(lane__in=range(lane_count(using)), priority=BACKFILL)


def targets(labels: Sequence[str] = (), databases: Sequence[str] = ()) -> list[Target]:
    """
    Return what labels name: models (`app.Model`), publications by name, topics. Without labels, everything.

    Args:
        databases: The aliases to take the rows from; by default the one that each model is written to.

    Raises:
        DeclarationError: A label or an alias names nothing, or a publication's serializer does not load.
    """
    unknown = [alias for alias in databases if alias not in connections]
    if unknown:
        raise DeclarationError(f"{unknown[0]!r} is no database alias. There are: {', '.join(connections)}.")
    chosen = {p.name: p for label in labels for p in _named(label)} if labels else {p.name: p for p in publications}
    return [
        target(publication.name, using)
        for publication in chosen.values()
        for using in databases or [router.db_for_write(publication.model)]
    ]


def target(name: str, using: str | None = None) -> Target:
    """
    Return a publication by its name, on an alias, or on the one that its model is written to.

    Raises:
        DeclarationError: This release has no such publication, or its serializer does not load.
    """
    publication = publications.get(name)
    if publication is None:
        raise DeclarationError(f"{name!r} is no publication of this release. {_known(name)}")
    _ = publication.serializer_classes  # raises with the cure
    return Target(publication=publication, using=using or router.db_for_write(publication.model))


def _named(label: str) -> list[Publication]:
    found = [p for p in publications if label in (p.name, p.topic) or label.lower() == p.model._meta.label_lower]
    if not found:
        raise DeclarationError(
            f"{label!r} is no publication, no published model (app.Model) and no topic of one. {_known(label)}"
        )
    return found


def _known(label: str) -> str:
    names = sorted(p.name for p in publications)
    if not names:
        return "There are none at all; declare one with @publishes."
    words = {word: None for p in publications for word in (p.name, p.topic, p.model._meta.label)}
    near = get_close_matches(label, words, n=3)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{meant}There are (app.model:topic): {', '.join(names)}."
