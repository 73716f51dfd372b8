"""Databases: an outbox wherever a published model is, and as many lanes as the settings say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import connections, models, router

from logpipe_signals.conf import settings
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.publishing.transactions import commits_by_hand
from logpipe_signals.registry import Publication, publications


def check_routers(**_: Any) -> list[CheckMessage]:
    """Return the aliases that take a published model and refuse its outbox, as far as routers alone can tell."""
    return [
        _refused(alias, held)
        for alias in connections
        if (held := _routed_to(alias)) and not router.allow_migrate_model(alias, OutboxRow)
    ]


def check_commits(**_: Any) -> list[CheckMessage]:
    """Return the aliases that hold a published model and leave every commit to the project's own code."""
    return [
        checks.Warning(
            f"Database {alias!r} holds {_labels(held)} and has 'AUTOCOMMIT': False. Django runs nothing after a commit "
            "by hand, so a change wakes no relay: it leaves when the relay, or the sweeper, looks next.",
            hint="Remove 'AUTOCOMMIT': False, or set LOGPIPE['RELAY'] = 'worker', keep manage.py run_relay running, "
            "and choose LOGPIPE['RELAY_POLL_SECONDS'] by how late a change may leave.",
            id="logpipe_signals.W010",
        )
        for alias in connections
        if commits_by_hand(alias) and (held := _routed_to(alias))
    ]


def check_databases(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Look into these databases for what capture will need there."""
    return [message for alias in databases or () for message in _look_into(alias)]


def held_by() -> dict[str, list[Publication]]:
    """Return the publications whose rows each alias may hold."""
    return {alias: held for alias in connections if (held := _routed_to(alias))}


def _look_into(alias: str) -> Iterator[CheckMessage]:
    tables = set(connections[alias].introspection.table_names())
    held = [p for p in _routed_to(alias) if p.concrete_model._meta.db_table in tables]
    if OutboxRow._meta.db_table in tables:
        yield from _lanes(alias, tables)
    elif held and not _migrating():
        yield _missing(alias, held)


def _lanes(alias: str, tables: Iterable[str]) -> Iterator[CheckMessage]:
    source = Source.objects.using(alias).first() if Source._meta.db_table in tables else None
    if source is not None and source.lanes != settings.LANES:
        yield checks.Warning(
            f"LOGPIPE['LANES'] is {settings.LANES}, but database {alias!r} was made with {source.lanes} lanes, and "
            f"keeps them.",
            hint=f"Set LOGPIPE['LANES'] = {source.lanes}: the number is chosen once, when the tables are made.",
            id="logpipe_signals.W002",
        )


def _missing(alias: str, held: Sequence[Publication]) -> Error:
    return Error(
        f"Database {alias!r} holds {_labels(held)}, but no outbox: the next save of one of its rows will fail.",
        hint=f"Run manage.py migrate logpipe_signals --database={alias}",
        id="logpipe_signals.E014",
    )


def _refused(alias: str, held: Sequence[Publication]) -> Error:
    refusing = _refusing_router(alias)
    return Error(
        f"Database {alias!r} may hold {_labels(held)}, but {refusing}.allow_migrate refuses logpipe_signals there.",
        hint=f"Let {refusing}.allow_migrate(db, app_label, **hints) return None (or True) for app_label "
        f"'logpipe_signals' on {alias!r}, then run manage.py migrate logpipe_signals --database={alias}",
        id="logpipe_signals.E015",
    )


def _routed_to(alias: str) -> list[Publication]:
    return [p for p in publications if router.allow_migrate_model(alias, p.concrete_model)]


def _refusing_router(alias: str) -> str:
    hints: dict[str, type[models.Model]] = {"model": OutboxRow}
    for one in router.routers:
        decide = getattr(one, "allow_migrate", None)
        decision = decide(alias, "logpipe_signals", model_name="outboxrow", **hints) if decide is not None else None
        if decision is not None:
            return f"{type(one).__module__}.{type(one).__qualname__}"
    return "a router"


def _labels(held: Sequence[Publication]) -> str:
    return ", ".join(sorted({publication.model._meta.label for publication in held}))


def _migrating() -> bool:
    """Tell whether `migrate` asks: an error would keep it from making the very table that is missing."""
    return "migrate" in sys.argv[1:2]
