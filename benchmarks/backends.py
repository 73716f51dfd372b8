"""Which log's client is measured."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test.utils import override_settings


def through(backend: str, **changes: Any) -> override_settings:
    """Return a context in which one of the package's backends is used, with further LOGPIPE settings."""
    module = f"logpipe_signals.backend.{backend}"
    chosen = {
        "PRODUCER_BACKEND": f"{module}.Producer",
        "CONSUMER_BACKEND": f"{module}.Consumer",
        "OFFSET_BACKEND": f"{module}.ModelOffsetStore",
    }
    return override_settings(LOGPIPE={**settings.LOGPIPE, **chosen, **changes})
