"""What was set aside: dead letters by side, state and topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING, Side

MOST_COUNTED = 5000
"""Of each side and state the newest so many are counted: a table of letters closed long ago is not read to its end."""


@dataclass(frozen=True, kw_only=True)
class DeadLetterCount:
    """How many dead letters of one side, state and topic there are; at least so many where `is_exact` is false."""

    using: str
    side: str
    state: str
    topic: str
    count: int
    is_exact: bool

    @property
    def is_waiting(self) -> bool:
        """Tell whether they wait to be replayed, skipped or superseded."""
        return self.state in WAITING


def dead_letters(using: str = "default", *, states: Collection[str] = WAITING) -> list[DeadLetterCount]:
    """Return an alias's dead letters in these states, counted; by default those that wait."""
    return [count for side in Side.values for state in states for count in _counted(using, side, str(state))]


def _counted(using: str, side: str, state: str) -> list[DeadLetterCount]:
    letters = DeadLetter.objects.using(using).filter(side=side, state=state).order_by("-created")
    topics = list(letters.values_list("topic", flat=True)[: MOST_COUNTED + 1])
    is_exact = len(topics) <= MOST_COUNTED
    return [
        DeadLetterCount(using=using, side=side, state=state, topic=topic, count=count, is_exact=is_exact)
        for topic, count in sorted(Counter(topics[:MOST_COUNTED]).items())
    ]
