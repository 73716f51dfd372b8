"""
Rows of the staleness guard that were not touched for long.

A row keeps a late record of its identity from being applied over a newer state, or, if it remembers a delete, from
bringing the row back. So one may go only when no older record can come any more: when the topic has dropped it, and no
dead letter waits that could be replayed. The retention has to be longer than the log's.

The table has no index on the time: it would cost every record that is applied. So it is walked along its primary key.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import models, transaction

from logpipe_signals.housekeeping.batches import delete_pks, unlocked
from logpipe_signals.models import AppliedSequence, DeadLetter
from logpipe_signals.models.dead_letters import WAITING

STEP_ROWS = 5000


def delete(before: datetime, *, deleted: bool, using: str) -> int:
    """Delete the rows last applied before this, of rows that live on or of those deleted; return how many."""
    removed = 0
    for first, last in _steps(using):
        rows = _old(before, deleted=deleted).filter(digest__gt=first) if first else _old(before, deleted=deleted)
        rows = rows.filter(digest__lte=last).using(using)
        with transaction.atomic(using=using):
            removed += delete_pks(AppliedSequence, list(unlocked(rows, using).values_list("pk", flat=True)), using)
    return removed


def count(before: datetime, *, deleted: bool, using: str) -> int:
    """Return how many rows `delete` would remove."""
    return _old(before, deleted=deleted).using(using).count()


def _old(before: datetime, *, deleted: bool) -> models.QuerySet[AppliedSequence]:
    waiting = DeadLetter.objects.filter(identity=models.OuterRef("identity"), state__in=WAITING)
    old = AppliedSequence.objects.filter(applied_at__lt=before, deleted=deleted)
    return old.filter(~models.Exists(waiting))


def _steps(using: str) -> Iterator[tuple[Any, Any]]:
    """Yield ranges of the primary key, of so many rows each."""
    first = None
    while True:
        rows = AppliedSequence.objects.using(using).order_by("digest")
        rows = rows.filter(digest__gt=first) if first else rows
        last = rows.values_list("digest", flat=True)[STEP_ROWS - 1 : STEP_ROWS].first()
        if last is None:
            last = rows.reverse().values_list("digest", flat=True).first()
            if last is not None:
                yield first, last
            return
        yield first, last
        first = last
