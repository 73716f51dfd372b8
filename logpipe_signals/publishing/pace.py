"""How many rows make a batch: many where they are small and quick, so that each statement and each wait serves more."""

from __future__ import annotations

from logpipe_signals.conf import settings

FIRST_ROWS = 500
TARGET_BYTES = 4_000_000
TARGET_SECONDS = 1.0


class Pace:
    """
    Grows while batches are full, up to `RELAY_BATCH_SIZE`.

    Large messages and slow serializers make batches smaller: several are in memory at once, and leases have to be
    renewed between them.
    """

    def __init__(self) -> None:
        self._rows = FIRST_ROWS

    @property
    def rows(self) -> int:
        """Return how many rows to claim next."""
        return min(self._rows, int(settings.RELAY_BATCH_SIZE))

    def took(self, rows: int, *, message_bytes: int, seconds: float) -> None:
        """Learn from a batch: how large its messages were, and how long they took to make."""
        excess = max(message_bytes / TARGET_BYTES, seconds / TARGET_SECONDS)
        if excess > 1:
            self._rows = max(1, int(rows / excess))
        elif rows >= self.rows and excess < 1 / 2:
            self._rows = min(2 * self._rows, int(settings.RELAY_BATCH_SIZE))
