"""No relay runs beside the tests of capture: they look at what it would find."""

from __future__ import annotations

import pytest

from tests.conftest import ChangeSettings


@pytest.fixture
def no_relay(logpipe_settings: ChangeSettings) -> None:
    """Leave the outbox alone after each commit."""
    logpipe_settings(RELAY="worker")
