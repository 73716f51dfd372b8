"""The databases, looked into: reachable, migrated, and with the triggers that capture needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor

from logpipe_signals import monitoring
from logpipe_signals.checks.databases import held_by
from logpipe_signals.publishing import trigger_sql, triggers
from logpipe_signals.registry import Publication

APP = "logpipe_signals"


def check_tables(**_: Any) -> list[CheckMessage]:
    """Return what is missing in the databases that capture and the consumers write to."""
    held = held_by()
    return [message for alias in monitoring.databases() for message in _robustly(alias, held.get(alias, []))]


def _robustly(alias: str, held: Sequence[Publication]) -> list[CheckMessage]:
    try:
        return [*_migrations(alias), *_triggers(alias, held)]
    except (DatabaseError, InterfaceError) as error:
        return [
            Error(
                f"Database {alias!r} does not answer ({type(error).__name__}).",
                hint="See that it runs, and its settings in DATABASES.",
                id="logpipe_signals.E032",
            )
        ]


def _migrations(alias: str) -> Iterator[CheckMessage]:
    executor = MigrationExecutor(connections[alias])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == APP]
    missing = [migration.name for migration, _ in executor.migration_plan(targets) if migration.app_label == APP]
    if missing:
        yield Error(
            f"Database {alias!r} lacks migrations of {APP}: {', '.join(missing)}.",
            hint=f"Run manage.py migrate {APP} --database={alias}",
            id="logpipe_signals.E033",
        )


def _triggers(alias: str, held: Sequence[Publication]) -> Iterator[CheckMessage]:
    connection = connections[alias]
    wanted = [each for each in held if each.options.capture == "triggers"]
    if connection.vendor != "postgresql" or not wanted:
        return
    there = _enabled_triggers(alias)
    for publication in wanted:
        table = publication.concrete_model._meta.db_table
        missing = sorted(set(_names(publication)) - there.get(table, set()))
        if missing:
            yield Error(
                f"Publication {publication.name!r} is captured by triggers, and table {table!r} of database {alias!r} "
                f"lacks {', '.join(missing)}, or has them disabled: its changes are not published.",
                hint=f"Run manage.py makemigrations, then manage.py migrate --database={alias}; `manage.py pgtrigger "
                "ls` lists them.",
                obj=publication.model,
                id="logpipe_signals.E034",
            )


def _names(publication: Publication) -> list[str]:
    """Return the names that the database has for a publication's triggers."""
    try:
        return [trigger.get_pgid(publication.model) for trigger in triggers.make(publication)]
    except (ImportError, trigger_sql.Unsupported):
        return []  # check_triggers says so


def _enabled_triggers(alias: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND pg_table_is_visible(c.oid)"
        )
        for table, name in cursor.fetchall():
            found.setdefault(table, set()).add(name)
    return found
