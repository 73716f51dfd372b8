"""What a person sees: short lines, and a bar while something takes time; a file gets the lines alone."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

INDENT = "   "


class Stopwatch:
    """Measures one step."""

    def __init__(self) -> None:
        self._began_at = time.perf_counter()
        self.seconds = 0.0

    def stop(self) -> None:
        """End the measurement."""
        self.seconds = time.perf_counter() - self._began_at

    def rate(self, count: int, what: str) -> str:
        """Return how long it took and how much that is a second."""
        return f"{self.seconds:.2f} s, {count / max(self.seconds, 1e-6):,.0f} {what} a second"


def heading(text: str) -> None:
    """Begin an act."""
    _write(f"\n{_bold(text)}")


def line(text: str) -> None:
    """Tell one thing."""
    _write(f"{INDENT}{text}")


def message(where: str, value: str) -> None:
    """Show a message as it is on the log, all of it."""
    width = shutil.get_terminal_size((120, 24)).columns - len(INDENT) * 3 - 1
    _write(f"{INDENT}{where}")
    for start in range(0, len(value), width):
        _write(f"{INDENT * 3}{value[start : start + width]}")


@contextmanager
def timed() -> Iterator[Stopwatch]:
    """Measure a block."""
    stopwatch = Stopwatch()
    try:
        yield stopwatch
    finally:
        stopwatch.stop()


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar that goes when the block is over; the yielded function moves it."""
    with tqdm(
        total=total, desc=f"{INDENT}{label}", leave=False, file=sys.stdout, disable=None, dynamic_ncols=True
    ) as bar:
        yield bar.update


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def _write(text: str) -> None:
    print(text, flush=True)
