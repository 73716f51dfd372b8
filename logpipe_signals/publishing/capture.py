"""
Capture: every committed change of a published model leaves its outbox rows in its own transaction.

Three methods of Django are wrapped, once, for models that are published; all others go through untouched:

- `Model.save_base`, because it commits before it sends post_save, and because loaddata calls it past `save()`.
- `Collector.delete`, which every delete and cascade ends in, so that all rows of it leave together.
- `Collector.can_fast_delete`, so that published rows are not deleted unseen.

Signals would be muted, come after the commit, or depend on who connected first; here none is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, models, router
from django.db.models.deletion import Collector
from django.db.models.signals import post_migrate

from logpipe_signals.publishing import bulk, deletes, m2m, outbox, plans, saves, suspend, triggers
from logpipe_signals.publishing.transactions import atomic_once
from logpipe_signals.registry import publications

_MARK = "_logpipe_signals_wrapped"


def connect() -> None:
    """Begin to capture. Doing it again changes nothing; models and publications that come later are captured too."""
    _connect_declared()
    if hasattr(models.Model.save_base, _MARK):
        return
    publications.hooks.append(_connect_declared)
    _wrap(models.Model, "save_base", _save_base)
    _wrap(Collector, "delete", _delete)
    _wrap(Collector, "can_fast_delete", _can_fast_delete)
    post_migrate.connect(
        outbox.ensure_source, sender=apps.get_app_config("logpipe_signals"), dispatch_uid="logpipe_signals.source"
    )


def _connect_declared() -> None:
    """Connect what is published by now."""
    m2m.connect()
    triggers.connect()


def _wrap(owner: type, name: str, wrapper: Any) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    setattr(wrapped, _MARK, True)
    setattr(owner, name, wrapped)


def _save_base(
    original: Any,
    instance: models.Model,
    raw: bool = False,
    force_insert: Any = False,
    force_update: bool = False,
    using: str | None = None,
    update_fields: Any = None,
) -> None:
    plan = plans.plan_for(type(instance))
    if plan is None:
        original(instance, raw, force_insert, force_update, using, update_fields)
        return
    alias = using or router.db_for_write(type(instance), instance=instance)
    save = saves.Save(plan, instance, alias, raw=raw, force_insert=bool(force_insert), update_fields=update_fields)
    with suspend.unwanted([instance]), captured_in_transaction(alias, save):
        only_updates = force_update or update_fields is not None
        if save.missing and only_updates:
            raise _nothing_to_update(instance)
        # Django would update a row that another transaction made in the meantime; its key would never be retracted.
        insert = force_insert or save.missing
        original(instance, raw, insert, force_update, alias, update_fields)


def _nothing_to_update(instance: models.Model) -> DatabaseError:
    """Return what Django raises when an update finds no row."""
    error: type[DatabaseError] = getattr(instance, "NotUpdated", DatabaseError)
    return error("The save was to update a row, and there is none.")


def _delete(original: Any, collector: Collector) -> Any:
    using = str(collector.using)
    if not deletes.concerns(collector):
        return original(collector)
    with atomic_once(using):
        departure = deletes.Departure(collector)
        with bulk.captured_elsewhere(), departure.watched(), suspend.unwanted(departure.instances):
            outcome = original(collector)
        departure.capture()
    return outcome


def _can_fast_delete(original: Any, collector: Collector, objs: Any, from_field: Any = None) -> Any:
    model = getattr(getattr(objs, "_meta", None), "model", None) or getattr(objs, "model", None)
    if model is not None and deletes.is_published(model):
        return False
    return original(collector, objs, from_field)


@contextmanager
def captured_in_transaction(using: str, save: saves.Save) -> Iterator[None]:
    """
    Run a save and its capture in one transaction.

    Inside an application's transaction nothing is added. A receiver that raises after the row was written, and whose
    error the application catches there, leaves the row to be committed: so it is captured then too.
    """
    if not connections[using].in_atomic_block:
        with atomic_once(using):
            save.look()
            yield
            save.capture()
        return
    save.look()
    try:
        yield
    except BaseException:
        if not connections[using].needs_rollback:
            save.capture_if_written()
        raise
    save.capture()
