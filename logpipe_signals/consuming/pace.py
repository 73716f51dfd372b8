"""How many records make a batch: as many as are asked for, and no more than take a moment to apply."""

from __future__ import annotations

FIRST_BATCH = 50
TARGET_SECONDS = 2.0
GROWTH = 4


class Pace:
    """
    Keeps a batch within `TARGET_SECONDS`, so that a stop is quick and little work is lost to a failure.

    Slow user code makes batches smaller, down to one record.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._size = min(largest, FIRST_BATCH)

    @property
    def size(self) -> int:
        """Return how many records to take next."""
        return self._size

    def took(self, records: int, seconds: float) -> None:
        """Learn from a batch."""
        if records <= 0:
            return
        affordable = int(TARGET_SECONDS * records / seconds) if seconds > 0 else self._largest
        self._size = max(1, min(self._largest, affordable, self._size * GROWTH))
