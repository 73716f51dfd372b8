"""Settings: names that exist, values that mean something, backends that import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals import backend, formats
from logpipe_signals.conf import LogpipeSettings, consumer_group, settings
from logpipe_signals.exceptions import DeclarationError, UnknownFormatError
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
    return [*_unknown_names(), *_choices(), *_formats(), *_fencing(), *_groups(), *_backends()]


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


def _formats() -> Iterator[CheckMessage]:
    code = settings.COMPRESSION
    if code in compression.CODES and not compression.is_available(code):
        yield Error(
            f"LOGPIPE['COMPRESSION'] is {code!r}, and its package is not installed.",
            hint="Install it: pip install 'logpipe_signals[zstd]', or choose 'gzip'.",
            id="logpipe_signals.E022",
        )
    try:
        formats.render(settings.DEFAULT_FORMAT, {})
    except (UnknownFormatError, ImportError) as error:
        yield Error(
            f"LOGPIPE['DEFAULT_FORMAT'] is {settings.DEFAULT_FORMAT!r}, and nothing can be sent. {error}",
            hint="Install or register it, or choose 'json'.",
            id="logpipe_signals.E028",
        )


def _fencing() -> Iterator[CheckMessage]:
    if settings.KAFKA_FENCING != "transactions" or not len(publications):
        return
    try:
        can_fence = backend.producer_class().supports_fencing
    except DeclarationError:
        return  # _backends says so
    if not can_fence:
        yield Error(
            f"LOGPIPE['KAFKA_FENCING'] is 'transactions', and {settings.PRODUCER_BACKEND} has none: no relay "
            "could start.",
            hint="Choose 'sequence', or PRODUCER_BACKEND = 'logpipe_signals.backend.kafka.Producer'.",
            id="logpipe_signals.E027",
        )


def _groups() -> Iterator[CheckMessage]:
    named = settings.KAFKA_CONSUMER_KWARGS
    by_client = named.get("group_id") or named.get("group.id")
    if by_client and by_client != consumer_group():
        yield checks.Warning(
            f"The consumer group is {consumer_group()!r}, and KAFKA_CONSUMER_KWARGS names {by_client!r}, which does "
            "not count: positions are stored under the first name.",
            hint="Keep the name under which positions are stored, as LOGPIPE['CONSUMER_GROUP'], and remove the other.",
            id="logpipe_signals.W014",
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
