"""
Prometheus metrics (extra `[prometheus]`).

    from logpipe_signals import metrics

    metrics.install()          # count from now on what this process does; harmless when called again
    metrics.render()           # the page for a scraper, with what the databases and the log say at that moment
    metrics.serve(9300)        # the same on a port of its own, as `run_relay --metrics-port 9300` does

`logpipe_signals.urls` has the view, and installs by being included. `catalogue.METRICS` lists every metric there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["install", "render", "serve"]


def install() -> None:
    """
    Count what this process sends and applies, by the public signals.

    Raises:
        ImproperlyConfigured: prometheus-client is not installed.
    """
    _events().install()


def render(accept: str = "") -> tuple[bytes, str]:
    """Return the page for a scraper that accepts these types, and its content type."""
    install()
    from logpipe_signals.metrics import exposition

    return exposition.render(accept)


def serve(port: int, address: str = "") -> Callable[[], None]:
    """Serve the page on a port, in a thread; return what stops it."""
    install()
    from logpipe_signals.metrics import exposition

    return exposition.serve(port, address)


def _events() -> Any:
    try:
        from logpipe_signals.metrics import events
    except ImportError as error:
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured(
            f"Metrics need prometheus-client ({error}). Install it: pip install 'logpipe_signals[prometheus]'"
        ) from error
    return events
