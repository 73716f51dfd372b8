"""The overview: everything at a glance, on all databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from logpipe_signals import monitoring
from logpipe_signals.admin.backfills import unfinished
from logpipe_signals.admin.consumers import consumer_rows, lag_bars
from logpipe_signals.admin.figures import CHART_HEIGHT, COLUMN_WIDTH, columns, duration, last_days, number
from logpipe_signals.admin.looking import LookOnlyAdmin
from logpipe_signals.admin.outbox import depth_bars
from logpipe_signals.admin.relays import relay_rows
from logpipe_signals.conf import settings
from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING

DAYS = 14
PAGES = {
    "outbox": "outboxrow",
    "relays": "lease",
    "consumers": "offset",
    "dead_letters": "deadletter",
    "backfills": "backfill",
}


class OverviewAdmin(LookOnlyAdmin):
    """One page of small charts."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen = monitoring.overview(recent=True)
        return self.page(
            request,
            "overview.html",
            "Overview",
            seen=seen,
            waiting=number(sum(depth.rows for depth in seen.outbox)),
            oldest=duration(seen.oldest_seconds),
            lag=number(seen.lag.records),
            relays=relay_rows(seen.relays),
            relays_alive=sum(not relay.is_gone for relay in seen.relays),
            consumers=consumer_rows(seen.consumers),
            consumers_alive=sum(not consumer.is_gone for consumer in seen.consumers),
            is_inline=settings.RELAY == "inline",
            outbox_bars=depth_bars([depth for depth in seen.outbox if depth.rows]),
            lag_bars=lag_bars(seen.lag),
            letters=letters_chart(seen.databases),
            backfills=[row for using in seen.databases for row in unfinished(using)],
            refresh_seconds=refresh_seconds(request),
            pages={name: self._address(model) for name, model in PAGES.items()},
        )

    def _address(self, model: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{model}_changelist", current_app=self.admin_site.name)


def refresh_seconds(request: HttpRequest) -> int | None:
    """Return how often the page is to be loaded again: `?refresh=10`, between 2 seconds and 5 minutes."""
    asked = request.GET.get("refresh", "")
    return max(2, min(300, int(asked))) if asked.isascii() and asked.isdigit() and len(asked) < 6 else None


def letters_chart(databases: Sequence[str]) -> dict[str, Any]:
    """Return the dead letters of the last days, by the day they were set aside."""
    today = timezone.now().astimezone(UTC).date()
    days = last_days(today, DAYS)
    totals: Counter[date] = Counter()
    waiting: Counter[date] = Counter()
    for using in databases:
        for day, count, open_count in _letters_by_day(using, days[0]):
            totals[day] += count
            waiting[day] += open_count
    return {
        "columns": columns(days, totals, waiting),
        "total": sum(totals.values()),
        "waiting": sum(waiting.values()),
        "days": DAYS,
        "height": CHART_HEIGHT,
        "label_height": CHART_HEIGHT + 16,
        "width": DAYS * COLUMN_WIDTH,
        "column_width": COLUMN_WIDTH - 6,
    }


def _letters_by_day(using: str, first: date) -> Any:
    is_waiting = Q(state__in=WAITING)
    since = datetime.combine(first, time.min, tzinfo=UTC)
    letters = DeadLetter.objects.using(using).filter(created__gte=since)
    by_day = letters.annotate(day=TruncDate("created", tzinfo=UTC)).values("day").order_by("day")
    return by_day.annotate(count=Count("pk"), waiting=Count("pk", filter=is_waiting)).values_list(
        "day", "count", "waiting"
    )
