"""Relays: who sends, and who holds which lane."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from logpipe_signals import monitoring
from logpipe_signals.admin.databases import DatabaseFilter
from logpipe_signals.admin.figures import LANE_SIZE, LANES_A_ROW, duration, lane_squares
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.conf import settings
from logpipe_signals.models import Lease
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.monitoring import RunningConsumer, RunningRelay


def process_row(running: RunningRelay | RunningConsumer) -> dict[str, Any]:
    """Return what a table shows of a running process."""
    return {
        "name": running.name,
        "host": running.host,
        "pid": running.pid,
        "since": running.since,
        "seen": duration(running.seen_seconds_ago),
        "is_gone": running.is_gone,
    }


def relay_rows(relays: Any) -> list[dict[str, Any]]:
    """Return the relays for a table."""
    return [{**process_row(relay), "lanes": len(relay.lanes), "using": relay.using} for relay in relays]


def lane_chart(using: str) -> dict[str, Any]:
    """Return the lanes of a database as squares."""
    cover = monitoring.lanes(using)
    held = Lease.objects.using(using).of_kind(LeaseKind.LANE).held()
    owners = {int(lane or 0): owner for lane, owner in held.values_list("number", "owner")}
    rows = -(-cover.lanes // LANES_A_ROW)
    return {
        "cover": cover,
        "squares": lane_squares(cover.lanes, owners),
        "size": LANE_SIZE - 2,
        "width": LANES_A_ROW * LANE_SIZE,
        "height": rows * LANE_SIZE,
    }


class LeaseAdmin(LookOnlyAdmin):
    """Who works on which lane, shard, partition or backfill, until when."""

    list_display = ["kind", "name", "owner", "token", moment("acquired_at"), moment("expires_at")]
    list_filter = [DatabaseFilter, "kind", "owner"]
    ordering = ["kind", "number", "name"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show relays and lanes above the leases."""
        using = self.database(request)
        panel = {
            "title": "Relays and leases",
            "panel_template": "logpipe_signals/admin/relays_panel.html",
            "relays": relay_rows(monitoring.relays(using)),
            "is_inline": settings.RELAY == "inline",
            "lanes": lane_chart(using),
        }
        return super().changelist_view(request, panel | (extra_context or {}))
