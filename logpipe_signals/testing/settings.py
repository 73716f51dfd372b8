"""`settings.LOGPIPE` with some keys changed, for `override_settings`."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def with_logpipe(**changes: Any) -> dict[str, Any]:
    """Return the project's LOGPIPE with these keys changed."""
    return {**getattr(settings, "LOGPIPE", {}), **changes}
