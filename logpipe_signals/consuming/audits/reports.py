"""What an audit found, and whether all of it arrived: `clean` is said only of an audit that is complete."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import Count, Max, Sum

from logpipe_signals.consuming.audits.extra import ROWS_A_WRITE, find_extra
from logpipe_signals.consuming.audits.own_rows import NotComparable, OwnRows
from logpipe_signals.consuming.audits.touched import LAPSED, is_open, touched
from logpipe_signals.consuming.incoming import Route
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.models import Audit, AuditFinding
from logpipe_signals.models.audits import AuditState, FindingKind, FindingState

EVERYWHERE = "*"


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """
    One audit as a group of consumers sees it.

    rows:      That the last round told of, as far as its marks arrived.
    counts:    Of drift, by kind: missing, extra, different.
    unsettled: Rows that were under way at every look: neither alike nor drift.
    waiting:   What has not arrived: (marks there, marks expected) of each partition of the last round that lacks some;
               None where no last mark arrived, so that nobody knows how many there are.
    problems:  What was not compared, and why.
    """

    audit: Audit
    rows: int
    counts: Mapping[str, int]
    unsettled: int
    waiting: Mapping[str, tuple[int, int]] | None
    cancelled: bool
    problems: tuple[str, ...] = ()
    last_mark: datetime | None = None
    fields: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Tell whether every mark arrived and was compared."""
        return self.waiting == {} and not self.cancelled and not self.problems

    @property
    def drift(self) -> int:
        """Return how many rows differ."""
        return sum(self.counts.values())

    @property
    def verdict(self) -> str:
        """Say it in a word: drift, cancelled, incomplete, or clean."""
        if self.cancelled:
            return "cancelled"
        if self.drift and self.waiting == {}:
            return "drift"
        return "clean" if self.complete else "incomplete"

    def findings(self) -> models.QuerySet[AuditFinding]:
        """Return the rows that differ."""
        return _drift(self.audit).order_by("kind", "pk")


def report_on(audit: Audit, routes: Mapping[str, Routes]) -> AuditReport:
    """Report on an audit; when everything has arrived, look for extra rows first, once."""
    audit.refresh_from_db()
    waiting, cancelled = _waiting(audit), audit.ranges.filter(cancelled=True).exists()
    if waiting == {} and not cancelled and audit.state == AuditState.OPEN:
        _finish(audit, routes)
    counts = dict(_drift(audit).values_list("kind").annotate(Count("pk")).values_list("kind", "pk__count"))
    last_round = audit.ranges.filter(round=audit.rounds)
    said = audit.ranges.exclude(problem="").values_list("problem", flat=True).distinct()[:5]
    unsettled = audit.findings.filter(state=FindingState.UNSETTLED).count()
    return AuditReport(
        audit=audit,
        rows=last_round.aggregate(rows=Sum("rows"))["rows"] or 0,
        counts=counts,
        unsettled=unsettled,
        waiting=waiting,
        cancelled=cancelled,
        problems=tuple(each for each in [audit.problem, *said] if each),
        last_mark=audit.ranges.aggregate(last=Max("created"))["last"],
        fields=tuple(audit.fields),
    )


def marks_arrived(audit: Audit) -> bool:
    """Tell whether every mark is there, or the audit was cancelled."""
    return _waiting(audit) == {} or audit.ranges.filter(cancelled=True).exists()


def _drift(audit: Audit) -> models.QuerySet[AuditFinding]:
    return audit.findings.filter(state=FindingState.CONFIRMED)


def _waiting(audit: Audit) -> dict[str, tuple[int, int]] | None:
    """Return which partitions lack marks, over all rounds."""
    missing: dict[str, tuple[int, int]] = {}
    for number in range(1, audit.rounds + 1):
        expected = _expected(audit, number)
        if expected is None:
            return None
        for partition, (there, wanted) in _arrived(audit, number, expected):
            if there < wanted:
                before = missing.get(partition, (0, 0))
                missing[partition] = (before[0] + there, before[1] + wanted)
    return missing


def _expected(audit: Audit, number: int) -> Mapping[str, int] | None:
    last = audit.ranges.filter(round=number, expected__isnull=False).values_list("expected", flat=True).first()
    found: Mapping[str, int] | None = last
    return found


def _arrived(audit: Audit, number: int, expected: Mapping[str, int]) -> Iterator[tuple[str, tuple[int, int]]]:
    ranges = audit.ranges.filter(round=number)
    if EVERYWHERE in expected:
        yield EVERYWHERE, (ranges.count(), expected[EVERYWHERE])
        return
    there = dict(ranges.values_list("partition").annotate(Count("pk")).values_list("partition", "pk__count"))
    for partition, wanted in expected.items():
        yield partition, (there.get(partition, 0), wanted)


# --- the end ----------------------------------------------------------------------------------------------------------


def _finish(audit: Audit, routes: Mapping[str, Routes]) -> None:
    """Look for extra rows, and let the hashes go. Consumers go on recording what they touch until this is done."""
    found_all = _look_for_extra(audit, _route(audit, routes))
    suspected = audit.findings.filter(kind=FindingKind.EXTRA, state=FindingState.SUSPECTED)
    with transaction.atomic(using=audit._state.db):
        still_open = Audit.objects.using(audit._state.db).filter(pk=audit.pk, state=AuditState.OPEN)
        if not still_open.update(state=AuditState.DONE, problem=audit.problem, fields=audit.fields):
            suspected.delete()  # Another report was first, and let go what these were found by.
            audit.refresh_from_db()
            return
        audit.state = AuditState.DONE
        if found_all:
            _confirm(suspected, touched(audit))
        else:
            suspected.delete()  # Of a report that was broken off.
        audit.ranges.update(keys=b"")
        audit.touches.all().delete()


def _confirm(suspected: models.QuerySet[AuditFinding], meanwhile: Collection[int]) -> None:
    """Take suspected rows as extra, but for those that a message was about until now."""
    gone = [pk for pk, key in suspected.values_list("pk", "key_hash") if key in meanwhile]
    for start in range(0, len(gone), ROWS_A_WRITE):
        suspected.filter(pk__in=gone[start : start + ROWS_A_WRITE]).delete()
    suspected.update(state=FindingState.CONFIRMED)


def _route(audit: Audit, routes: Mapping[str, Routes]) -> Route | None:
    wanted = (audit.message_type, audit.version)
    return next((r for r in routes.get(audit.topic, ()) if (r.message_type, r.version) == wanted), None)


def _look_for_extra(audit: Audit, route: Route | None) -> bool:
    """Keep what is extra as suspected; tell whether that could be found out."""
    if not audit.ranges.filter(deletes=True).exists():
        audit.problem = ""
        return False
    if route is None:
        kind = f"{audit.message_type}/{audit.version}"
        audit.problem = f"Extra rows: there is no subscription to {audit.topic!r} of {kind} in this project."
        return False
    own = OwnRows(route)
    try:
        if not is_open(audit):
            raise NotComparable("Extra rows: its marks arrived more than an hour ago. Audit again, and report sooner.")
        find_extra(audit, own, audit.lookup)
        if audit.ranges.filter(begins=True, problem=LAPSED).exists():
            raise NotComparable("Extra rows: not everything that came meanwhile is known. Audit again.")
        audit.fields = sorted(own.fields)
    except NotComparable as error:
        audit.problem = str(error)
        return False
    return True


def latest(using: str, *, run: str = "", topic: str = "", group: str = "") -> models.QuerySet[Audit]:
    """Return audits, the newest first: of a run by its name or its beginning, of a topic, of a group."""
    audits = Audit.objects.using(using).order_by("-pk")
    audits = audits.filter(run__startswith=run) if run else audits
    audits = audits.filter(topic=topic) if topic else audits
    return audits.filter(group=group) if group else audits


def as_lines(report: AuditReport) -> Iterator[dict[str, Any]]:
    """Return the rows that differ as they are written to a file of keys."""
    for finding in report.findings().iterator():
        yield {
            "kind": finding.kind,
            "type": report.audit.message_type,
            "pk": finding.pk_text,
            "key": finding.key,
            "lookup": finding.lookup,
            "fields": finding.fields,
        }
