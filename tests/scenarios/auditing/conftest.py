"""The fields of the consuming scenarios, with both sides at work."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.auditing.both import Both
from tests.scenarios.consuming.conftest import KAFKA_SETTINGS, MakeField, hurt_postgres, make_field

__all__ = ["both", "hurt_postgres", "make_field"]


@pytest.fixture(params=["embedded log", "kafka"])
def both(request: pytest.FixtureRequest, make_field: MakeField) -> Both:
    """Return both sides on each log, with people who rest and nobody at work yet."""
    log = {}
    if request.param == "kafka":
        log = {
            "LOGPIPE_BACKEND": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka_broker"),
            "LOGPIPE_SETTINGS": json.dumps(KAFKA_SETTINGS),
        }
    sides = Both(make_field(**log))
    sides.seed()
    return sides
