"""What is under way beside the live changes: backfills, and audits as the subscriber sees them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from logpipe_signals.models import Audit, AuditFinding, Backfill
from logpipe_signals.models.audits import FindingKind, FindingState
from logpipe_signals.models.backfills import UNFINISHED, BackfillState
from logpipe_signals.models.expressions import DatabaseNow
from logpipe_signals.registry import publications

MOST_TOLD = 100


@dataclass(frozen=True, kw_only=True)
class BackfillProgress:
    """
    How far a backfill came.

    rows_total:        As estimated when it began; None before.
    rows_a_second:     Since it runs; None before its first rows.
    seconds_left:      At this rate; None where that cannot be told.
    moved_seconds_ago: Since its row changed, by the database's clock.
    """

    using: str
    id: int
    publication: str
    topic: str
    state: str
    rows_done: int
    rows_total: int | None
    rows_a_second: float | None
    seconds_left: float | None
    moved_seconds_ago: float


def backfills(using: str = "default") -> list[BackfillProgress]:
    """Return an alias's backfills that wait, run, are paused, or failed and may be taken up again; the newest ones."""
    jobs = Backfill.objects.using(using).filter(Q(state__in=UNFINISHED) | Q(state=BackfillState.FAILED))
    return [_progress(job, using) for job in jobs.annotate(now=DatabaseNow()).order_by("-id")[:MOST_TOLD]]


def _progress(job: Backfill, using: str) -> BackfillProgress:
    publication = publications.get(job.publication)
    rate = job.rows_done / job.seconds_run if job.rows_done and job.seconds_run else None
    left = None if rate is None or job.rows_total is None else max(0, job.rows_total - job.rows_done) / rate
    now = job.now  # type: ignore[attr-defined]  # annotated
    return BackfillProgress(
        using=using,
        id=job.pk,
        publication=job.publication,
        topic=publication.topic if publication else "",
        state=job.state,
        rows_done=job.rows_done,
        rows_total=job.rows_total,
        rows_a_second=rate,
        seconds_left=left if job.state == BackfillState.RUNNING else None,
        moved_seconds_ago=max(0.0, (now - job.updated_at).total_seconds()),
    )


@dataclass(frozen=True, kw_only=True)
class AuditProgress:
    """The newest audit of a topic and type, as a group sees it: rows that differ after two looks, by kind."""

    using: str
    run: str
    group: str
    topic: str
    message_type: str
    state: str
    missing: int
    extra: int
    different: int


def audits(using: str = "default") -> list[AuditProgress]:
    """Return the newest audit that a group on an alias met, of each topic and type."""
    newest: dict[tuple[str, str, str], Audit] = {}
    for audit in Audit.objects.using(using).order_by("-pk")[:MOST_TOLD]:
        newest.setdefault((audit.group, audit.topic, audit.message_type), audit)
    counts = _findings(using, [audit.pk for audit in newest.values()])
    return [
        AuditProgress(
            using=using,
            run=audit.run,
            group=audit.group,
            topic=audit.topic,
            message_type=audit.message_type,
            state=audit.state,
            **{kind: counts.get((audit.pk, kind), 0) for kind in FindingKind.values},
        )
        for _, audit in sorted(newest.items())
    ]


def _findings(using: str, audits: list[int]) -> dict[tuple[int, str], int]:
    found = AuditFinding.objects.using(using).filter(audit__in=audits, state=FindingState.CONFIRMED)
    counted = found.order_by().values_list("audit", "kind").annotate(count=Count("pk"))
    return {(audit, kind): count for audit, kind, count in counted}
