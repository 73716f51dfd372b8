"""Settings: names that exist, values that mean something, backends that import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals import backend
from logpipe_signals.conf import LogpipeSettings, settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.formats import compression
from logpipe_signals.registry import publications, subscriptions
from logpipe_signals.schemas.compatibility import Compatibility

CHOICES = {
    "RELAY": ("inline", "worker"),
    "KAFKA_FENCING": ("sequence", "transactions"),
    "COMPRESSION": ("", *compression.CODES),
    "SCHEMA_COMPATIBILITY": tuple(Compatibility),
    "SCHEMA_VALIDATION": ("", "sent", "received", "both"),
}


def check_settings(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with `settings.LOGPIPE`."""
    return [*_unknown_names(), *_choices(), *_compression(), *_backends()]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Return what production needs and development does not."""
    if settings.RELAY != "inline" or not len(publications):
        return []
    return [
        checks.Warning(
            "LOGPIPE['RELAY'] is 'inline': the processes that save also send, and what they leave behind waits for "
            "their sweeper.",
            hint="Set LOGPIPE['RELAY'] = 'worker' and keep `manage.py run_relay` running beside the web processes.",
            id="logpipe_signals.W004",
        )
    ]


def _unknown_names() -> Iterator[CheckMessage]:
    known = LogpipeSettings.names()
    for name in getattr(django_settings, "LOGPIPE", {}):
        if name in known:
            continue
        nearest = get_close_matches(str(name).upper(), known, n=1)
        yield checks.Warning(
            f"LOGPIPE[{name!r}] is no setting of logpipe_signals.",
            hint=f"Did you mean {nearest[0]!r}?" if nearest else "Remove it; logpipe_signals.conf has the list.",
            id="logpipe_signals.W001",
        )


def _choices() -> Iterator[CheckMessage]:
    for name, choices in CHOICES.items():
        value = getattr(settings, name)
        if value not in choices:
            yield Error(
                f"LOGPIPE[{name!r}] is {value!r}.",
                hint=f"Choose one of: {', '.join(repr(str(choice)) for choice in choices)}.",
                id="logpipe_signals.E012",
            )


def _compression() -> Iterator[CheckMessage]:
    code = settings.COMPRESSION
    if code in compression.CODES and not compression.is_available(code):
        yield Error(
            f"LOGPIPE['COMPRESSION'] is {code!r}, and its package is not installed.",
            hint="Install it: pip install 'logpipe_signals[zstd]', or choose 'gzip'.",
            id="logpipe_signals.E022",
        )


def _backends() -> Iterator[CheckMessage]:
    used: list[Callable[[], Any]] = []
    if len(publications):
        used.append(backend.producer_class)
    if subscriptions.by_topic() or subscriptions.factories():
        used += [backend.consumer_class, backend.offset_class]
    for load in used:
        try:
            backend_class = load()
        except DeclarationError as error:
            yield Error(str(error), hint="Correct the path, or install the extra it needs.", id="logpipe_signals.E013")
        else:
            yield from _own_check(backend_class)


def _own_check(backend_class: Any) -> list[CheckMessage]:
    """Ask the backend itself; a class of the project's own may have nothing to say."""
    check = getattr(backend_class, "check", None)
    return list(check()) if check is not None else []
