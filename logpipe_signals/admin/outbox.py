"""The outbox: what waits to be sent, the oldest first, and how much of each publication."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from logpipe_signals import monitoring
from logpipe_signals.admin.databases import DatabaseFilter
from logpipe_signals.admin.figures import Bar, approximately, duration, number, percents
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.monitoring import OutboxDepth

OLD_SECONDS = 60.0
"""A live change that waits longer than this is worth a look."""


def depth_bars(depths: list[OutboxDepth] | tuple[OutboxDepth, ...]) -> list[Bar]:
    """Return a bar a publication."""
    return [
        Bar(
            label=depth.publication,
            detail=depth.topic and f"to {depth.topic}",
            value=approximately(depth.rows, is_exact=depth.is_exact),
            percent=percent,
            note=_note(depth),
            is_bad=(depth.oldest_seconds or 0) > OLD_SECONDS,
        )
        for depth, percent in zip(depths, percents(depth.rows for depth in depths), strict=True)
    ]


def _note(depth: OutboxDepth) -> str:
    parts = [
        f"oldest {duration(depth.oldest_seconds)}" if depth.oldest_seconds is not None else "",
        f"{number(depth.backfill_rows)} backfilled" if depth.backfill_rows else "",
        f"{number(depth.retrying_rows)} wait for another try" if depth.retrying_rows else "",
        "unknown to this release" if not depth.topic else "",
    ]
    return ", ".join(part for part in parts if part)


class OutboxRowAdmin(LookOnlyAdmin):
    """What waits to be sent, the oldest first."""

    list_display = ["id", "publication", "object_id", "operation", "lane", "priority", "attempts", moment("created_at")]
    list_filter = [DatabaseFilter, "operation", "priority"]
    search_fields = ["publication", "object_id", "key"]
    ordering = ["id"]
    fields = [
        *("id", "publication", "object_id", "key", "operation", "lane", "priority"),
        *("attempts", "created_at", "retry_at"),
    ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how much waits above the rows."""
        panel = {
            "title": "Outbox",
            "panel_template": "logpipe_signals/admin/outbox_panel.html",
            "bars": depth_bars(monitoring.outbox(self.database(request))),
        }
        return super().changelist_view(request, panel | (extra_context or {}))
