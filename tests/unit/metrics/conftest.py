"""The log in memory, and a page as a scraper reads it."""

from __future__ import annotations

import pytest

from tests.conftest import ChangeSettings

BACKEND = "logpipe_signals.backend.dummy"


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.backend import dummy

    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
        RELAY="worker",
    )
    dummy.create_topic("people", partitions=1)
