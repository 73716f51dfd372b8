"""What a project extends this package with: its formats, providers and policies have to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.checks import CheckMessage, Error

from logpipe_signals import formats
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError, UnknownFormatError
from logpipe_signals.registry import POLICIES, load_callable, publications, subscriptions


def check_extensions(**_: Any) -> list[CheckMessage]:
    """Return what does not load."""
    return [*_formats(), *_providers(), *_policies()]


def _formats() -> Iterator[CheckMessage]:
    for code in settings.FORMATS:
        try:
            formats.rendering(code)
        except UnknownFormatError as error:
            yield Error(str(error), id="logpipe_signals.E043")


def _providers() -> Iterator[CheckMessage]:
    for publication in publications:
        for name in ("key_provider", "headers"):
            yield from _loads(partial(getattr, publication, name), publication.model)


def _policies() -> Iterator[CheckMessage]:
    for declared in subscriptions:
        policy: Any = declared.options.on_error
        if policy not in POLICIES:
            owner = f"The on_error= of the subscription to topic {declared.topic!r}"
            yield from _loads(partial(load_callable, policy, owner), declared.serializer_class)


def _loads(load: Callable[[], Any], owner: Any) -> Iterator[CheckMessage]:
    try:
        load()
    except DeclarationError as error:
        yield Error(
            str(error), hint="Correct the path, or give the function itself.", obj=owner, id="logpipe_signals.E044"
        )
