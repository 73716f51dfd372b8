"""Two sides in turns: A B A B, so that whatever else the machine does meets both."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Side = Callable[[], float]
"""Makes one round ready, runs it, and returns its rate, or its time."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The medians of both sides, and the median of the rounds' ratios."""

    ours: float
    peer: float
    ratio: float


def in_turns(ours: Side, peer: Side, *, rounds: int) -> Paired:
    """Run both sides in turns, after one round of each that does not count."""
    _run(ours), _run(peer)
    found = [(_run(ours), _run(peer)) for _ in range(rounds)]
    return Paired(
        ours=median(own for own, _ in found),
        peer=median(other for _, other in found),
        ratio=median(own / other for own, other in found),
    )


def _run(side: Side) -> float:
    gc.collect()
    return side()
