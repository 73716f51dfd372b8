"""Removing many rows a batch at a time: each batch is a transaction of its own, and waits for no lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections, models, transaction

BATCH_ROWS = 1000


def delete(rows: models.QuerySet[Any], using: str) -> int:
    """Delete what a query finds, and return how many rows that was. Rows that somebody has locked stay."""
    return sum(_batches(rows.using(using), using))


def _batches(rows: models.QuerySet[Any], using: str) -> Iterator[int]:
    while True:
        with transaction.atomic(using=using):
            found = list(unlocked(rows, using).values_list("pk", flat=True)[:BATCH_ROWS])
            yield delete_pks(rows.model, found, using)
        if len(found) < BATCH_ROWS:
            return


def unlocked(rows: models.QuerySet[Any], using: str) -> models.QuerySet[Any]:
    """Lock what is read, and pass over what is locked, where the database can."""
    if connections[using].features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True)
    return rows


def delete_pks(model: type[models.Model], pks: list[Any], using: str) -> int:
    """Delete rows by primary key, in one statement: nothing listens for these, and nothing hangs on them any more."""
    return model._base_manager.using(using).filter(pk__in=pks)._raw_delete(using) or 0
