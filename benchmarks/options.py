"""What a run was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    What a run was asked for.

    rows:  How many rows our side handles in one round of a pair; other numbers follow from it.
    pairs: How often both sides run in turns.
    full:  Take backlogs and logs as long as the figures name them, however long that takes.
    """

    only: tuple[str, ...] = ()
    rows: int = 20_000
    pairs: int = 5
    full: bool = False

    @property
    def peer_rows(self) -> int:
        """Return how many rows a side handles that takes them one at a time."""
        return max(200, self.rows // 20)


def parse(arguments: Sequence[str], names: Collection[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the speed figures.")
    parser.add_argument("--only", action="append", default=[], choices=sorted(names), help="measure this one alone")
    parser.add_argument("--rows", type=int, default=Options.rows, help="rows a round (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=Options.pairs, help="rounds of each pair (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rows, two rounds: whether it runs, not how fast")
    parser.add_argument("--full", action="store_true", help="a backlog and a log of 1,000,000; takes its time")
    given = parser.parse_args(arguments)
    rows, pairs = (2_000, 2) if given.quick else (given.rows, given.pairs)
    return Options(only=tuple(given.only), rows=rows, pairs=pairs, full=given.full)
