"""The trail: each look at a payload and each step is written down before it is taken, and its outcome behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import models
from django.http import HttpRequest

from logpipe_signals.admin.databases import DatabaseFilter
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.models import TrailEntry
from logpipe_signals.models.trail import TrailAction

ROWS_SHOWN = 50


def begin(request: HttpRequest, action: TrailAction, things: Sequence[models.Model], using: str) -> list[TrailEntry]:
    """Write down that somebody is about to do something with each of these."""
    who = request.user.get_username() if request.user.is_authenticated else ""
    entries = [
        TrailEntry(
            who=who[:255],
            action=action,
            target=thing._meta.model_name or "",
            target_id=str(thing.pk),
            about=str(thing)[:255],
        )
        for thing in things
    ]
    return TrailEntry.objects.using(using).bulk_create(entries)


def end(entries: Iterable[TrailEntry], outcomes: dict[str, str], using: str) -> None:
    """Write down what came of each, by the primary keys of what was acted on."""
    told = [entry for entry in entries if entry.target_id in outcomes]
    for entry in told:
        entry.outcome = outcomes[entry.target_id][:255]
    TrailEntry.objects.using(using).bulk_update(told, ["outcome"], batch_size=500)


def of(thing: models.Model, using: str) -> list[TrailEntry]:
    """Return the last entries about a thing, the newest first."""
    entries = TrailEntry.objects.using(using).filter(target=thing._meta.model_name, target_id=str(thing.pk))
    return list(entries.order_by("-pk")[:ROWS_SHOWN])


class TrailAdmin(LookOnlyAdmin):
    """Who did what, when, and what came of it."""

    list_display = [moment("at"), "who", "action", "about", "outcome"]
    list_filter = [DatabaseFilter, "action", "target"]
    search_fields = ["who", "about", "outcome", "target_id__exact"]
    ordering = ["-pk"]
