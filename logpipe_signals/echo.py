"""
Echo: what a consumer writes while it applies a message came from the log and does not go back to where it came from.

    with applying("people", Person):
        ...                                # writes of Person are not published to "people"; all others are
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import models

hooks: list[Callable[[str, type[models.Model], bool], object]] = []
"""Called with (topic, model, whether a block begins): triggers need to be told in the database."""
_origin: ContextVar[tuple[str, type[models.Model]] | None] = ContextVar("logpipe_signals_origin", default=None)


@contextmanager
def applying(topic: str, model: type[models.Model] | None) -> Iterator[None]:
    """Mark the writes of this block as coming from a topic, for one model (None marks nothing)."""
    token = _origin.set((topic, model._meta.concrete_model or model) if model is not None else None)
    try:
        _tell(topic, model, True)
        yield
    finally:
        _origin.reset(token)
        _tell(topic, model, False)


def _tell(topic: str, model: type[models.Model] | None, applying: bool) -> None:
    if model is None:
        return
    for hook in hooks:
        hook(topic, model, applying)


def is_echo(topic: str, model: type[models.Model]) -> bool:
    """Tell whether a write of this model, made now, came from this topic."""
    origin = _origin.get()
    return origin is not None and origin == (topic, model._meta.concrete_model or model)
