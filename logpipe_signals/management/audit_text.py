"""An audit's report, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from logpipe_signals.consuming.audits.reports import AuditReport
from logpipe_signals.models import AuditFinding

ROWS_SHOWN = 20
MEANING = {
    "missing": "at the publisher, not here",
    "extra": "here, not at the publisher",
    "different": "here, with other values",
}


def as_text(report: AuditReport, *, style: Any) -> str:
    """Return the report as lines for a terminal."""
    return "\n".join([*_head(report, style), *_rows(report), *_hints(report)])


def as_json(report: AuditReport) -> dict[str, Any]:
    """Return the report's numbers, without the rows."""
    audit = report.audit
    return {
        "audit": audit.run,
        "topic": audit.topic,
        "group": audit.group,
        "type": audit.message_type,
        "version": audit.version,
        "verdict": report.verdict,
        "rows": report.rows,
        "missing": report.counts.get("missing", 0),
        "extra": report.counts.get("extra", 0),
        "different": report.counts.get("different", 0),
        "unsettled": report.unsettled,
        "waiting": report.waiting,
        "problems": list(report.problems),
        "last_mark": report.last_mark.isoformat() if report.last_mark else None,
    }


def _head(report: AuditReport, style: Any) -> Iterator[str]:
    audit = report.audit
    paint = style.SUCCESS if report.verdict == "clean" else style.ERROR if report.verdict == "drift" else style.WARNING
    yield f"{audit.topic}: {audit.message_type}/{audit.version}, group {audit.group}, audit {audit.run[:8]}"
    numbers = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.counts.items()))
    unsettled = f"; {report.unsettled:,} under way at every look" if report.unsettled else ""
    yield f"  {paint(report.verdict)}: {report.rows:,} rows compared{f', {numbers}' if numbers else ''}{unsettled}"


def _rows(report: AuditReport) -> Iterator[str]:
    for kind, count in sorted(report.counts.items()):
        yield f"  {kind} ({MEANING[kind]})"
        for finding in report.findings().filter(kind=kind)[:ROWS_SHOWN]:
            yield f"    {_row(finding)}"
        if count > ROWS_SHOWN:
            yield f"    and {count - ROWS_SHOWN:,} more; --keys-file writes all"


def _row(finding: AuditFinding) -> str:
    lookup = " ".join(f"{name}={_value(value)}" for name, value in finding.lookup.items())
    pk = f"pk {finding.pk_text}" if finding.pk_text else ""
    fields = f": {', '.join(finding.fields)}" if finding.fields else ""
    return "  ".join(part for part in (pk, lookup) if part) + fields


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _hints(report: AuditReport) -> Iterator[str]:
    if report.waiting is None:
        yield "  No last mark has arrived, so nobody knows how many there are. Is run_consumer running?"
    for partition, (there, expected) in sorted((report.waiting or {}).items()):
        yield f"  partition {partition}: {there} of {expected} marks arrived. Does a consumer read it?"
    for problem in report.problems:
        yield f"  not compared: {problem}"
    if report.cancelled:
        yield "  The audit was cancelled at the publisher."
