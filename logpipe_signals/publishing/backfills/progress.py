"""How far jobs are, and what one would cost: numbers for a person, from the database alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections, models

from logpipe_signals.models import Backfill
from logpipe_signals.models.backfills import DEFAULT_CHUNK_ROWS, BackfillOf, BackfillState
from logpipe_signals.publishing.backfills.control import runner_of
from logpipe_signals.publishing.backfills.lookups import chosen
from logpipe_signals.publishing.backfills.targets import Target, target
from logpipe_signals.registry import publications

ESTIMATED_FROM_ROWS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """
    How far a job is.

    rows_done:       Rows put into the outbox. rows_waiting of the publication's backfills are still there.
    rows_per_second: While it ran, so far.
    seconds_left:    At that pace; None where that cannot be told.
    runner:          host:process:random of who runs it now, or "".
    is_known:        Whether this release has the publication; if not, another release's runner is waited for.
    """

    rows_done: int
    rows_waiting: int
    rows_total: int | None
    rows_per_second: float | None
    seconds_left: float | None
    runner: str
    is_known: bool

    @property
    def rows_sent(self) -> int:
        """Return how many rows left the outbox."""
        return max(0, self.rows_done - self.rows_waiting)

    @property
    def share(self) -> float | None:
        """Return how much is sent, 0 to 1; None while the total is not known."""
        if self.rows_total is None:
            return None
        return min(1.0, self.rows_sent / self.rows_total) if self.rows_total else 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What a job would be.

    rows:        Counted; of a huge table without conditions estimated by the database (`is_estimated`).
    seconds:     At `rows_per_second`, which was measured by the last such job, or is the rate asked for; else None.
    is_measured: Whether the pace was measured.
    """

    publication: str
    using: str
    rows: int
    chunks: int
    rows_per_second: float | None
    seconds: float | None
    is_estimated: bool
    is_measured: bool


def progress(job: Backfill) -> Progress:
    """Return how far a job is."""
    is_known = job.publication in {p.name for p in publications}
    waiting = 0
    if is_known and not (job.is_finished and job.state != BackfillState.CANCELLED):
        waiting = target(job.publication, job.using).waiting().count()
    pace = job.rows_done / job.seconds_run if job.seconds_run and job.rows_done else None
    left = None
    if pace and job.rows_total is not None and not job.is_finished:
        left = max(0, job.rows_total - max(0, job.rows_done - waiting)) / pace
    return Progress(
        rows_done=job.rows_done,
        rows_waiting=min(waiting, job.rows_done),
        rows_total=job.rows_total,
        rows_per_second=pace,
        seconds_left=left,
        runner=runner_of(job),
        is_known=is_known,
    )


def plan(
    found: Target,
    *,
    where: Mapping[str, Any] | None = None,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    rate: float | None = None,
    rows: int | None = None,
) -> Plan:
    """
    Return what a job of these rows would be, without starting it.

    Args:
        rows: How many keys are listed, where they are.
    """
    is_estimated = False
    if rows is None:
        rows, is_estimated = count_rows(found, where or {})
    measured = measured_pace(found)
    pace = min((each for each in (measured, rate) if each), default=None)
    return Plan(
        publication=found.publication.name,
        using=found.using,
        rows=rows,
        chunks=-(-rows // chunk_rows),
        rows_per_second=pace,
        seconds=rows / pace if pace else None,
        is_estimated=is_estimated,
        is_measured=pace is not None and pace == measured,
    )


def count_rows(found: Target, where: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many rows there are, and whether that is the database's estimate: a huge table is not counted."""
    if not where and connections[found.using].vendor == "postgresql":
        estimated = _estimated_rows(found.publication.concrete_model, found.using)
        if estimated >= ESTIMATED_FROM_ROWS:
            return estimated, True
    return chosen(found.rows(), where).order_by().count(), False


def measured_pace(found: Target) -> float | None:
    """Return the rows a second of the last job of a publication that ended well and was not held back."""
    done = Backfill.objects.using(found.using).filter(
        publication=found.publication.name,
        state=BackfillState.DONE,
        rate=None,
        seconds_run__gt=0,
        rows_done__gt=0,
        rows_of=BackfillOf.ROWS,
    )
    last = done.order_by("-pk").values_list("rows_done", "seconds_run").first()
    return None if last is None else last[0] / last[1]


def _estimated_rows(model: type[models.Model], using: str) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [f'"{model._meta.db_table}"'])
        row = cursor.fetchone()
    return int(row[0]) if row else 0
