"""What a claim gives to whoever prepares, sends and settles it."""

from __future__ import annotations

from typing import Any, NamedTuple


class ClaimedRow(NamedTuple):
    """An outbox row as a relay works on it."""

    id: int
    publication: str
    object_id: str
    key: str
    lane: int
    operation: str
    payload: bytes | None
    headers: Any
    attempts: int
    waiting: bool = False
    """Whether it waits for another try."""
    age_seconds: float | None = None
    """Since its change, by the database's clock, where somebody listens; None of backfilled rows."""

    @property
    def row(self) -> tuple[str, str]:
        """Return which row of which publication changed."""
        return self.publication, self.object_id
