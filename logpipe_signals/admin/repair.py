"""Replay and skip of dead letters, each with a trail of who, when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from logpipe_signals.admin import trail
from logpipe_signals.consuming import replay as applying
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING, DeadLetterState, Side
from logpipe_signals.models.trail import TrailAction
from logpipe_signals.publishing import replay as publishing

MOST_AT_ONCE = 1000
"""More than that takes longer than a browser waits; `manage.py replay_dead_letters` has no such bound."""


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """How many letters were closed, how many still wait, and how many were closed before."""

    closed: int
    left: int
    passed_over: int


def replay(request: HttpRequest, letters: Any) -> Repaired:
    """Apply a consumer's letters once more, and put a publisher's rows back into the outbox."""

    def both(chosen: Any) -> None:
        publishing.replay(chosen)
        if routes := _routes():
            applying.replay(chosen, routes)

    return _repair(request, letters, TrailAction.REPLAYED, both)


def skip(request: HttpRequest, letters: Any) -> Repaired:
    """Close letters without applying or sending them."""

    def both(chosen: Any) -> None:
        publishing.skip(chosen)
        applying.skip(chosen)

    return _repair(request, letters, TrailAction.SKIPPED, both)


def _repair(request: HttpRequest, letters: Any, action: TrailAction, act: Callable[[Any], None]) -> Repaired:
    using = letters.db
    chosen = list(
        letters.order_by("pk").only("pk", "side", "topic", "identity", "offset", "reason", "state", "attempts")
    )
    waiting = [letter for letter in chosen if letter.state in WAITING]
    entries = trail.begin(request, action, waiting, using)
    primary_keys = [letter.pk for letter in waiting]
    act(DeadLetter.objects.using(using).filter(pk__in=primary_keys))
    now = DeadLetter.objects.using(using).in_bulk(primary_keys)
    trail.end(entries, {str(before.pk): outcome_of(before, now.get(before.pk)) for before in waiting}, using)
    closed = sum(letter.state not in WAITING for letter in now.values())
    return Repaired(closed=closed, left=len(waiting) - closed, passed_over=len(chosen) - len(waiting))


def outcome_of(before: DeadLetter, now: DeadLetter | None) -> str:
    """Return in words what became of a letter; never what its error quotes."""
    if now is None:
        return "gone"
    if now.state in WAITING:
        return _still_waiting(before, now)
    if now.state == DeadLetterState.REPLAYED:
        return "back in the outbox" if now.side == Side.PUBLISHER else "applied"
    return "closed: something newer was applied" if now.state == DeadLetterState.SUPERSEDED else "closed unapplied"


def _still_waiting(before: DeadLetter, now: DeadLetter) -> str:
    if now.attempts == before.attempts:
        return "not tried: it waits behind an earlier one, or this project does not know its topic"
    return f"failed again: {now.reason}"


def _routes() -> Mapping[str, Routes]:
    try:
        return MultiConsumer(*declared_consumers()).routes()
    except DeclarationError:  # A project that only publishes has no consumers; its letters need none.
        return {}
