"""One line of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Figure:
    """
    What was measured, and what it has to reach.

    ours, peer: Both sides as text, with their units.
    value:      What is held against the bound: a ratio, a count, milliseconds, megabytes.
    """

    issue: int
    what: str
    ours: str
    peer: str = ""
    value: float
    bound: float
    at_most: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether the figure reaches its bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


Measure = Callable[["Stage"], Iterator[Figure]]


def per_second(value: float) -> str:
    """Return a rate as text."""
    return f"{value:,.0f}/s"


def milliseconds(seconds: float) -> str:
    """Return a time as text."""
    return f"{1000 * seconds:,.1f} ms"
