"""What may be removed, by kind, and after how many days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from django.db import models

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import (
    Audit,
    AuditFinding,
    AuditRange,
    Backfill,
    BackfillKey,
    DeadLetter,
    Presence,
    TrailEntry,
)
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.models.dead_letters import WAITING, DeadLetterState, Side

Rows = models.QuerySet[Any]

CLOSED = (DeadLetterState.REPLAYED, DeadLetterState.SUPERSEDED, DeadLetterState.SKIPPED)
FINISHED = (BackfillState.DONE, BackfillState.CANCELLED, BackfillState.FAILED)
GUARDS = ("guard", "deletes")
"""Kinds without which a stale record would be applied: removed after a number of days only where they are named."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    days:  How long it is kept, where RETENTION_DAYS says nothing.
    rows:  Gives what is older than a time, whatever hangs on a row before the row itself. None: looked for otherwise.
    """

    days: float
    rows: Callable[[datetime], Iterator[Rows]] | None = None


def _dead_letters(before: datetime, states: tuple[DeadLetterState, ...] = CLOSED) -> Iterator[Rows]:
    """One state and side after the other, as the index has them."""
    for state in states:
        for side in Side:
            letters = DeadLetter.objects.filter(state=state, side=side, created__lt=before, modified__lt=before)
            yield letters.order_by("created")


def open_letters(before: datetime) -> Iterator[Rows]:
    """Give the letters that nobody dealt with: what they hold is in no other place."""
    return _dead_letters(before, WAITING)


def _trail(before: datetime) -> Iterator[Rows]:
    yield TrailEntry.objects.filter(at__lt=before).order_by("at")


def _audits(before: datetime) -> Iterator[Rows]:
    old = Audit.objects.filter(created__lt=before)
    yield AuditFinding.objects.filter(audit__in=old).order_by("pk")
    yield AuditRange.objects.filter(audit__in=old).order_by("pk")
    yield old.order_by("pk")


def _backfills(before: datetime) -> Iterator[Rows]:
    old = Backfill.objects.filter(state__in=FINISHED, finished_at__lt=before)
    yield BackfillKey.objects.filter(backfill__in=old).order_by("pk")
    yield old.order_by("pk")


def _presences(before: datetime) -> Iterator[Rows]:
    yield Presence.objects.filter(seen_at__lt=before).order_by("pk")


KINDS = {
    "dead_letters": Kind(days=30, rows=_dead_letters),
    "trail": Kind(days=365, rows=_trail),
    "audits": Kind(days=90, rows=_audits),
    "backfills": Kind(days=90, rows=_backfills),
    "presences": Kind(days=1, rows=_presences),
    "guard": Kind(days=90),
    "deletes": Kind(days=365),
    "log": Kind(days=7),
}


def retention_days(kind: str) -> float | None:
    """
    Return how many days a kind is kept; None: for ever.

    Raises:
        DeclarationError: RETENTION_DAYS has a kind that there is not, or no number of days.
    """
    chosen = settings.RETENTION_DAYS
    for name, days in chosen.items():
        if name not in KINDS:
            nearest = get_close_matches(str(name), KINDS, n=1)
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(KINDS)}."
            raise DeclarationError(f"LOGPIPE['RETENTION_DAYS'] has {name!r}, which is no kind of rows. {cure}")
        if days is not None and (isinstance(days, bool) or not isinstance(days, int | float) or days <= 0):
            raise DeclarationError(
                f"LOGPIPE['RETENTION_DAYS'][{name!r}] is {days!r}. Say a number of days above 0, or None for ever."
            )
    return chosen.get(kind, KINDS[kind].days)
