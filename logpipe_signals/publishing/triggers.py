"""
Capture by PostgreSQL triggers: `publishes(..., capture="triggers")`.

The triggers are django-pgtrigger's, so the migrations of the app that declares the publication carry them: run
`makemigrations` after declaring or changing one. They see every write of the table: raw SQL, TRUNCATE, cascades of the
database, other programs; at no further round trip. On another database than PostgreSQL the same publication is captured
by signals. For a model of another package publish a proxy of it, in an app of the project.

Links and rows that are shown with a row (`related=`, many-to-many fields) are other tables, and captured as ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from django.db import connections, models, router

from logpipe_signals import echo
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.publishing import outbox, suspend, trigger_sql, wake
from logpipe_signals.registry import Publication, publications

LONGEST_NAME = 22
ABORTED = 3
"""psycopg's TransactionStatus.INERROR."""
_registered: set[tuple[str, str]] = set()


def connect() -> None:
    """Make pgtrigger know the triggers of every publication that wants some, and tell the database of echoes."""
    if _tell_echo not in echo.hooks:
        echo.hooks.append(_tell_echo)
        suspend.hooks.append(_tell_suspended)
    for publication in publications:
        if publication.options.capture == "triggers":
            register(publication)


def register(publication: Publication) -> None:
    """Add a publication's triggers to its model, once; those that cannot be made are a check's to tell."""
    try:
        for trigger in make(publication):
            identity = (publication.model._meta.label, trigger.name)
            if identity not in _registered:
                trigger.register(publication.model)
                _registered.add(identity)
    except (ImportError, DeclarationError, trigger_sql.Unsupported):
        return


def make(publication: Publication) -> list[Any]:
    """
    Return pgtrigger's triggers for a publication.

    Raises:
        ImportError: django-pgtrigger is not installed.
        Unsupported: See trigger_sql.
    """
    import pgtrigger

    referencing: Any = pgtrigger.Referencing
    events: list[tuple[str, Any, Any, Any]] = [
        ("INSERT", pgtrigger.After, pgtrigger.Insert, referencing(new=trigger_sql.NEW)),
        (
            "UPDATE",
            pgtrigger.After,
            pgtrigger.Update,
            referencing(old=trigger_sql.OLD, new=trigger_sql.NEW),
        ),
    ]
    if publication.options.delete != "ignore":
        events += [
            ("DELETE", pgtrigger.After, pgtrigger.Delete, referencing(old=trigger_sql.OLD)),
            ("TRUNCATE", pgtrigger.Before, pgtrigger.Truncate, None),
        ]
    return [
        pgtrigger.Trigger(
            name=f"{_name(publication)}_{event.lower()}",
            level=pgtrigger.Statement,
            when=when,
            operation=operation,
            referencing=tables,
            declare=[("logpipe_lanes", "INTEGER")],
            func=trigger_sql.body(publication, event),
        )
        for event, when, operation, tables in events
    ]


def serve(publication: Publication, using: str) -> bool:
    """Tell whether triggers capture a publication on this alias, so that nothing else has to."""
    return publication.options.capture == "triggers" and connections[using].vendor == "postgresql"


def by_signals(candidates: Iterable[Publication], using: str) -> tuple[Publication, ...]:
    """Leave out what triggers capture."""
    return tuple(p for p in candidates if not serve(p, using))


def wake_for(candidates: Iterable[Publication], using: str) -> None:
    """Wake the relay after the commit for what triggers captured: it knows of no other way but to look again."""
    if any(serve(p, using) for p in candidates):
        wake.schedule(using, range(outbox.lane_count(using)))


def _name(publication: Publication) -> str:
    digest = hashlib.sha1(publication.name.encode(), usedforsecurity=False).hexdigest()[:6]
    return f"logpipe_{re.sub(r'[^a-z0-9]+', '_', publication.name.lower())[:LONGEST_NAME]}_{digest}"


# --- telling the database what is not to be captured ------------------------------------------------------------------


def _tell_echo(topic: str, model: type[models.Model], applying: bool) -> None:
    """Tell the database from which topic the writes come, for as long as the transaction lasts, or the block."""
    concerned = [p for p in publications.for_model(model) if p.topic == topic and p.options.capture == "triggers"]
    if concerned:
        _tell(trigger_sql.ECHO, concerned if applying else (), model)


def _tell_suspended(names: frozenset[str]) -> None:
    triggered = [p for p in publications if p.options.capture == "triggers"]
    suspended = [p for p in triggered if p.name in names]
    for model in {p.model for p in triggered}:
        _tell(trigger_sql.SUSPENDED, suspended, model)


def _tell(setting: str, concerned: Iterable[Publication], model: type[models.Model]) -> None:
    value = "".join(f"|{p.name}|" for p in concerned)
    for using in connections:
        connection = connections[using]
        in_use = connection.connection is not None or using == router.db_for_write(model)
        if connection.vendor == "postgresql" and in_use and not _is_aborted(connection):
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config(%s, %s, %s)", [setting, value, connection.in_atomic_block])


def _is_aborted(connection: Any) -> bool:
    """Tell whether the transaction can only be rolled back, which takes the setting back too."""
    info = getattr(connection.connection, "info", None)
    return bool(connection.needs_rollback or (info is not None and info.transaction_status == ABORTED))
