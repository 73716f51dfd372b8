"""
How much waits in the outbox, by publication.

Up to EXACT_UP_TO rows are read and counted. Beyond that the number is estimated: ids are walked over in STRIPES equal
steps, some rows are read at each, and how densely they lie tells how many there are between. So a million rows cost as
much as some thousands. How old the oldest change is stays exact: each lane's first row is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections, router
from django.db.models import Max, Min

from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.monitoring.places import now_of
from logpipe_signals.registry import publications

EXACT_UP_TO = 5000
STRIPES = 40
ROWS_A_STRIPE = 125


@dataclass(frozen=True, kw_only=True)
class OutboxDepth:
    """
    What waits of one publication.

    topic:           "" where this release does not know the publication.
    rows:            All that waits; `backfill_rows` of them come after live changes, `retrying_rows` after a pause.
    oldest_seconds:  The age of the oldest live change; None where only backfilled rows wait.
    is_exact:        False where `rows` and its parts are estimates.
    """

    using: str
    publication: str
    topic: str
    rows: int
    backfill_rows: int
    retrying_rows: int
    oldest_seconds: float | None
    is_exact: bool


class _Seen(NamedTuple):
    """An outbox row, as far as it matters here."""

    id: int
    publication: str
    priority: int
    created_at: datetime
    retry_at: datetime | None


@dataclass(kw_only=True)
class _Tally:
    """What was counted of one publication; parts of rows where they stand for more than themselves."""

    rows: float = 0
    backfill: float = 0
    retrying: float = 0
    oldest: datetime | None = None
    """Of live changes."""

    def add(self, row: _Seen, weight: float, now: datetime) -> None:
        self.rows += weight
        self.backfill += weight * (row.priority > 0)
        self.retrying += weight * (row.retry_at is not None and row.retry_at > now)
        self.see(row)

    def see(self, row: _Seen) -> None:
        if row.priority == 0:
            self.oldest = min(self.oldest or row.created_at, row.created_at)


@dataclass(kw_only=True)
class _Count:
    """What was counted of all publications."""

    now: datetime
    tallies: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, rows: Iterable[_Seen], weight: float = 1.0) -> None:
        for row in rows:
            self.tallies[row.publication].add(row, weight, self.now)


def outbox(using: str = "default") -> list[OutboxDepth]:
    """Return what waits in an alias's outbox, publication by publication; those of which nothing waits with zeros."""
    count = _Count(now=now_of(using))
    first = _rows(using, limit=EXACT_UP_TO + 1)
    is_exact = len(first) <= EXACT_UP_TO
    if is_exact:
        count.add(first)
    else:
        _estimate(using, count)
        for row in _first_of_each_lane(using):
            count.tallies[row.publication].see(row)
    return [_depth(using, name, count, is_exact=is_exact) for name in sorted({*_own_names(using), *count.tallies})]


def oldest_seconds(using: str = "default") -> float | None:
    """Return the age of the oldest live change that waits on an alias, by index reads alone; None: none waits."""
    moments = [row.created_at for row in _first_of_each_lane(using)]
    return max(0.0, (now_of(using) - min(moments)).total_seconds()) if moments else None


def _depth(using: str, name: str, count: _Count, *, is_exact: bool) -> OutboxDepth:
    tally = count.tallies.get(name, _Tally())
    age = None if tally.oldest is None else max(0.0, (count.now - tally.oldest).total_seconds())
    return OutboxDepth(
        using=using,
        publication=name,
        topic=publication.topic if (publication := publications.get(name)) else "",
        rows=round(tally.rows),
        backfill_rows=round(tally.backfill),
        retrying_rows=round(tally.retrying),
        oldest_seconds=age,
        is_exact=is_exact,
    )


def _own_names(using: str) -> list[str]:
    return [each.name for each in publications if router.allow_migrate_model(using, each.concrete_model)]


# --- reading ----------------------------------------------------------------------------------------------------------


def _rows(using: str, *, limit: int, **lookup: Any) -> list[_Seen]:
    rows = OutboxRow.objects.using(using).filter(**lookup).order_by("id")
    return [_Seen(*values) for values in rows.values_list(*_Seen._fields)[:limit]]


def _estimate(using: str, count: _Count) -> None:
    ends = OutboxRow.objects.using(using).aggregate(lowest=Min("id"), highest=Max("id"))
    if ends["lowest"] is None:
        return
    width = -(-(ends["highest"] - ends["lowest"] + 1) // STRIPES)
    for start in range(ends["lowest"], ends["highest"] + 1, width):
        rows = _rows(using, limit=ROWS_A_STRIPE, id__gte=start, id__lt=start + width)
        is_full = len(rows) == ROWS_A_STRIPE
        count.add(rows, width / (rows[-1].id - start + 1) if is_full else 1.0)


def _first_of_each_lane(using: str) -> list[_Seen]:
    """Return the first live row of each lane: among them is the oldest one."""
    lanes = Source.objects.using(using).filter(pk=1).values_list("lanes", flat=True).first()
    if not lanes:
        return []
    table = OutboxRow._meta.db_table
    one = f"SELECT * FROM (SELECT id FROM {table} WHERE lane = %s AND priority = 0 ORDER BY id LIMIT 1) AS lane_{{}}"  # noqa: S608
    with connections[using].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(one.format(lane) for lane in range(lanes)), list(range(lanes)))
        ids = [row[0] for row in cursor.fetchall()]
    return _rows(using, limit=len(ids), id__in=ids) if ids else []
