"""How many backfilled rows the outbox bears, and how fast a job may go."""

from __future__ import annotations

import math

from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.publishing.backfills.targets import Target, backfilled

LOW_SHARE = 0.5
"""Where a gate that closed opens again: so that the relay gets full batches, and not a row at a time."""


class Gate:
    """
    Closed while as many rows wait as may; open again when half of them have left.

    All backfills of a database share the bound, so a deep outbox of live changes stops them by itself: those leave
    first. In a publication of changes nothing can overtake, so there the bound is one batch of the relay's, and the
    live changes count too.
    """

    def __init__(self, found: Target) -> None:
        self._found = found
        self._is_open = True

    def room(self) -> int:
        """Return how many rows may be written now."""
        most = self._most
        waiting = self._waiting(most)
        self._is_open = waiting < most if self._is_open else waiting <= most * LOW_SHARE
        return most - waiting if self._is_open else 0

    @property
    def _most(self) -> int:
        most = max(1, int(settings.BACKFILL_OUTBOX_ROWS))
        return min(most, int(settings.RELAY_BATCH_SIZE)) if self._found.keeps_changes else most

    def _waiting(self, most: int) -> int:
        rows = self._found.waiting() if self._found.keeps_changes else backfilled(self._found.using)
        return rows[:most].count()


class Pacer:
    """Spreads rows over time where a rate was asked for."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next_at = 0.0

    @property
    def most_rows(self) -> int | None:
        """Return how many rows may go at once: those of a second."""
        return None if self._rate is None else max(1, math.ceil(self._rate))

    @property
    def is_due(self) -> bool:
        """Tell whether the next rows may go."""
        return clock.seconds() >= self._next_at

    def went(self, rows: int) -> None:
        """Let the next ones wait for so long as these were worth."""
        if self._rate is not None:
            self._next_at = max(clock.seconds(), self._next_at) + rows / self._rate
