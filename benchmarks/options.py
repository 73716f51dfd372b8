"""What a run was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    What a run was asked for.

    rows:        How many rows our side handles in one round of a pair.
    peer_rows:   How many a side handles that takes them one at a time.
    pairs:       How often both sides run in turns.
    deep_rows:   The deep backlog.
    memory_rows: What a process has to handle within its memory.
    update_rows: Rows of one `QuerySet.update`.
    cities:      Rows of a backfill; GeoNames has 234,908.
    saves:       Single changes whose way is timed.
    """

    only: tuple[str, ...] = ()
    rows: int = 20_000
    peer_rows: int = 1_000
    pairs: int = 5
    deep_rows: int = 1_000_000
    memory_rows: int = 1_000_000
    update_rows: int = 100_000
    cities: int = 235_000
    saves: int = 200


QUICK = {
    "rows": 2_000,
    "peer_rows": 200,
    "pairs": 1,
    "deep_rows": 40_000,
    "memory_rows": 10_000,
    "cities": 4_000,
    "saves": 20,
}
FULL = {"saves": 2_000, "pairs": 9}


def parse(arguments: Sequence[str], names: Collection[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the speed figures.")
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rows", type=int, help=f"rows a round (default: {Options.rows:,})")
    parser.add_argument("--pairs", type=int, help=f"rounds of each pair (default: {Options.pairs})")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_const", const=QUICK, help="few rows: whether it runs, not how fast")
    sizes.add_argument("--full", action="store_const", const=FULL, help="more rounds")
    given = parser.parse_args(arguments)
    named = {name: value for name in ("rows", "pairs") if (value := getattr(given, name)) is not None}
    return Options(**{"only": tuple(given.only), **(given.quick or given.full or {}), **named})
