"""The option `--metrics-port` of the commands that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from logpipe_signals import metrics


def add_metrics_port(parser: CommandParser) -> None:
    """Declare it."""
    parser.add_argument(
        "--metrics-port", type=int, help="serve Prometheus metrics on this port (extra [prometheus])", metavar="PORT"
    )


@contextmanager
def metrics_served(port: int | None) -> Iterator[None]:
    """Serve metrics while the block runs, where a port was given."""
    if port is None:
        yield
        return
    try:
        stop = metrics.serve(port)
    except (ImproperlyConfigured, OSError, OverflowError) as error:
        raise CommandError(f"--metrics-port {port}: {error}") from error
    try:
        yield
    finally:
        stop()
