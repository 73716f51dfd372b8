"""Consumers: where each group stands, how far behind it is, and who works for it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.http import HttpRequest, HttpResponse

from logpipe_signals import monitoring
from logpipe_signals.admin.databases import DatabaseFilter
from logpipe_signals.admin.figures import Bar, duration, number, percents
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.admin.relays import process_row
from logpipe_signals.monitoring import LagReport, PartitionLag


def lag_bars(report: LagReport) -> list[Bar]:
    """Return a bar for each group and topic."""
    found: dict[tuple[str, str], list[PartitionLag]] = defaultdict(list)
    for partition in report.partitions:
        found[partition.group, partition.topic].append(partition)
    sums = [_records(partitions) for partitions in found.values()]
    shares = percents(records or 0 for records in sums)
    return [
        Bar(
            label=topic,
            detail=f"read by {group}",
            value=number(records),
            percent=share,
            note=_note(found[group, topic]),
        )
        for (group, topic), records, share in zip(found, sums, shares, strict=True)
    ]


def _records(partitions: list[PartitionLag]) -> int | None:
    known = [each.records for each in partitions if each.records is not None]
    return sum(known) if known else None


def _note(partitions: list[PartitionLag]) -> str:
    moved = min(each.moved_seconds_ago for each in partitions)
    behind = max((each.behind_seconds for each in partitions if each.behind_seconds is not None), default=None)
    parts = [f"{len(partitions)} partitions", f"moved {duration(moved)} ago"]
    return ", ".join([*parts, f"{duration(behind)} behind"] if behind is not None else parts)


def partition_rows(report: LagReport) -> list[dict[str, Any]]:
    """Return the partitions for a table."""
    return [
        {
            "group": each.group,
            "topic": each.topic,
            "partition": each.partition,
            "position": each.position,
            "records": number(each.records),
            "behind": duration(each.behind_seconds),
            "moved": duration(each.moved_seconds_ago),
        }
        for each in report.partitions
    ]


def consumer_rows(consumers: Any) -> list[dict[str, Any]]:
    """Return the running consumers for a table."""
    return [
        {
            **process_row(consumer),
            "group": consumer.group,
            "topics": ", ".join(consumer.topics),
            "partitions": len(consumer.partitions),
        }
        for consumer in consumers
    ]


class OffsetAdmin(LookOnlyAdmin):
    """Where each consumer group stands."""

    list_display = ["group", "topic", "partition", "position", "log", moment("updated_at")]
    list_filter = [DatabaseFilter, "group", "topic"]
    ordering = ["group", "topic", "partition"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show lag and running consumers above the positions."""
        using = self.database(request)
        report = monitoring.recent_lag(using)
        panel = {
            "title": "Consumers and positions",
            "panel_template": "logpipe_signals/admin/consumers_panel.html",
            "bars": lag_bars(report),
            "problem": report.problem,
            "partitions": partition_rows(report),
            "consumers": consumer_rows(monitoring.consumers(using)),
        }
        return super().changelist_view(request, panel | (extra_context or {}))
