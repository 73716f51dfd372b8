"""
Managers that publish what is written set-wise: `update`, `bulk_create`, `bulk_update`, `_raw_delete`.

    class Person(models.Model):
        objects = PublishingManager()

    class PersonQuerySet(PublishingQuerySet): ...
        objects = PersonQuerySet.as_manager()

Django sends no signal for these. Here their rows reach the outbox in the same transaction, by one more statement where
the database can tell the keys, whatever the number of rows. Of a model that is not published they do what Django's do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models


class PublishingQuerySet(models.QuerySet[Any]):
    """A queryset whose set-wise writes are published."""

    def update(self, **values: Any) -> int:
        """Update the rows, and publish those that were updated."""
        from logpipe_signals.publishing import bulk

        return bulk.update(self, values)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert the objects, and publish those that were inserted or, on a conflict, updated."""
        from logpipe_signals.publishing import bulk

        return bulk.create(self, list(objs), *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        from logpipe_signals.publishing import bulk

        return bulk.raw_delete(self, str(using or self.db))

    _raw_delete.alters_data = True  # type: ignore[attr-defined]


class PublishingManager(models.Manager.from_queryset(PublishingQuerySet)):  # type: ignore[misc]
    """A manager whose set-wise writes are published."""


def install(model: type[models.Model]) -> None:
    """
    Let the writes that Django makes through `_base_manager` be published: `shop.orders.add(order)`.

    A base manager of the model's own choice stays.
    """
    meta: Any = model._meta.concrete_model._meta if model._meta.concrete_model else model._meta
    if type(meta.base_manager) is models.Manager and meta.base_manager.auto_created:
        manager: Any = PublishingManager()
        manager.name, manager.model, manager.auto_created = "_base_manager", meta.model, True
        meta.__dict__["base_manager"] = manager


def publishes_sets(manager: models.Manager[Any]) -> bool:
    """Tell whether what is written through a manager is published."""
    return isinstance(manager.get_queryset(), PublishingQuerySet)
