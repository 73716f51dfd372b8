"""
The admin: what waits, who works, what was set aside, and what can be done about it.

On a site of your own: `from logpipe_signals.admin import register; register(my_site)`.

    overview        everything at a glance
    outbox          what waits to be sent
    relays          who sends: leases and lanes
    consumers       where each group stands, and how far behind
    dead_letters    found, looked at, replayed, skipped
    backfills       started, watched, paused, resumed, cancelled
    trail           who did what

Rows are written by relay and consumer alone, so nothing here edits one. What can be done has a permission of its own,
is asked for by POST, and leaves an entry in the trail.
"""

from __future__ import annotations

from django.contrib import admin

from logpipe_signals.admin.backfills import BackfillAdmin
from logpipe_signals.admin.consumers import OffsetAdmin
from logpipe_signals.admin.databases import DatabaseFilter, aliases_of
from logpipe_signals.admin.dead_letters import DeadLetterAdmin
from logpipe_signals.admin.looking import LookOnlyAdmin
from logpipe_signals.admin.outbox import OutboxRowAdmin
from logpipe_signals.admin.overview import OverviewAdmin
from logpipe_signals.admin.relays import LeaseAdmin
from logpipe_signals.admin.trail import TrailAdmin
from logpipe_signals.models import Backfill, DeadLetter, Lease, Offset, OutboxRow, Overview, TrailEntry

PAGES = {
    Overview: OverviewAdmin,
    OutboxRow: OutboxRowAdmin,
    Lease: LeaseAdmin,
    Offset: OffsetAdmin,
    DeadLetter: DeadLetterAdmin,
    Backfill: BackfillAdmin,
    TrailEntry: TrailAdmin,
}


def register(site: admin.AdminSite) -> None:
    """Add the pages to an admin site."""
    for model, model_admin in PAGES.items():
        site.register(model, model_admin)


register(admin.site)

__all__ = ["DatabaseFilter", "LookOnlyAdmin", "aliases_of", "register"]
