"""
Not publishing, on purpose.

    with suspend_publishing():                    # nothing written here is published
        import_everything()
    with suspend_publishing("people", Order):     # a topic, a publication's name, a model
        ...

    joe._logpipe_publish = False                  # this instance's saves and deletes are not published
    joe.save()

Triggers see statements, not instances: where they capture, rows that are deleted together are left out together, and
only if none of them is to be published.

What was suspended can be sent later: `manage.py republish_all people`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from django.db import models

from logpipe_signals import echo
from logpipe_signals.registry import Publication, publications

OPT_OUT = "_logpipe_publish"
_suspended: ContextVar[frozenset[str]] = ContextVar("logpipe_signals_suspended", default=frozenset())
Hook = Callable[[frozenset[str]], object]
hooks: list[Hook] = []
"""Called with the names of all suspended publications when that changes: triggers need to be told in the database."""


@contextmanager
def suspend_publishing(*what: str | type[models.Model]) -> Iterator[None]:
    """
    Publish nothing that this block writes: of these topics, publications or models, or of none at all.

    Raises:
        LookupError: A text names neither a topic nor a publication.
    """
    with ExitStack() as stack:
        token = _suspended.set(_suspended.get() | _named(what))
        stack.callback(_tell)
        stack.callback(_suspended.reset, token)
        _tell()
        yield


def publishable(candidates: Iterable[Publication], instance: models.Model | None = None) -> tuple[Publication, ...]:
    """Leave out what is suspended, what came from its own topic, and what this instance does not want."""
    if instance is not None and opted_out(instance):
        return ()
    suspended = _suspended.get()
    return tuple(p for p in candidates if p.name not in suspended and not echo.is_echo(p.topic, p.model))


def opted_out(instance: models.Model) -> bool:
    """Tell whether this instance is not to be published."""
    return getattr(instance, OPT_OUT, True) is False


@contextmanager
def unwanted(instances: Sequence[models.Model]) -> Iterator[None]:
    """Keep triggers from capturing what is written for these instances, if none of them is to be published."""
    if not instances or not all(map(opted_out, instances)):
        yield
        return
    models_written = {parent for i in instances for parent in (type(i), *type(i)._meta.get_parent_list())}
    triggered = [p for m in models_written for p in publications.for_model(m) if p.options.capture == "triggers"]
    if not triggered:
        yield
        return
    with suspend_publishing(*{p.name for p in triggered}):
        yield


def _named(what: tuple[str | type[models.Model], ...]) -> frozenset[str]:
    if not what:
        return frozenset(p.name for p in publications)
    return frozenset(p.name for one in what for p in _of(one))


def _of(one: str | type[models.Model]) -> tuple[Publication, ...]:
    found = tuple(p for p in publications if one in (p.topic, p.name)) if isinstance(one, str) else None
    if found == ():
        known = ", ".join(sorted({p.topic for p in publications}))
        raise LookupError(f"{one!r} is no topic and no publication's name. Topics: {known}.")
    return publications.for_model(one) if not isinstance(one, str) else found or ()


def _tell() -> None:
    for hook in hooks:
        hook(_suspended.get())
