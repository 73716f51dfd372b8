"""`python -m benchmarks`: measure, and print the table."""

from __future__ import annotations

import sys
import time

from benchmarks import options, table
from benchmarks.catalogue import CATALOGUE, measure
from benchmarks.figures import Figure
from benchmarks.stage import Stage, stage


def main() -> int:
    """Return 0 when every figure reaches its bound."""
    chosen = options.parse(sys.argv[1:], CATALOGUE)
    with stage(chosen) as prepared:
        figures = [figure for name in chosen.only or CATALOGUE for figure in _measured(name, prepared)]
    print(table.text(figures))
    return 0 if all(figure.ok for figure in figures) else 1


def _measured(name: str, prepared: Stage) -> list[Figure]:
    started = time.monotonic()
    figures = list(measure(name)(prepared))
    prepared.say(f"{name}: {time.monotonic() - started:.0f} s")
    return figures


if __name__ == "__main__":
    sys.exit(main())
