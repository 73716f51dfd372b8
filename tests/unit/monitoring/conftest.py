"""The log in memory for both sides, and outbox rows without a relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from logpipe_signals.models import OutboxRow

BACKEND = "logpipe_signals.backend.dummy"
PEOPLE = "people.person:people"


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: Callable[..., None]) -> None:
    """Let nobody send what a test saves."""
    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
        RELAY="worker",
    )


def fill(rows: int, *, publication: str = PEOPLE, **values: Any) -> None:
    """Put rows into the outbox."""
    made = (OutboxRow(publication=publication, object_id=str(n), key=str(n), lane=n % 8, **values) for n in range(rows))
    OutboxRow.objects.bulk_create(made, batch_size=2000)
