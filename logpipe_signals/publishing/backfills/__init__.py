"""
Backfills: rows of a publication are sent again, each as it is when its turn comes.

    job = backfills.start("places.city:cities", where={"country": "DE"}, requested_by="ann")
    backfills.pause(job); backfills.resume(job); backfills.cancel(job)
    backfills.progress(job).share
    backfills.runners("default")            # who would run it: `manage.py run_relay`; none: the command alone

    targets    publications on aliases, found by what a person calls them
    lookups    which of their rows
    listed     or those of a list of keys
    control    start, pause, resume, cancel: all by rows of the database
    progress   how far, and what it would cost
    chunks     a chunk of outbox rows, in the order of the primary key
    runner     chunk after chunk under a lease, no more than the outbox bears
    running    in a thread beside the relay, or in the foreground with one's own

Backfilled rows have a lower priority in the outbox, so live changes overtake them, and no more than
`BACKFILL_OUTBOX_ROWS` wait there at a time. The relay reads what a row is after it claimed it, so no older state is
sent after a newer one.
"""

from logpipe_signals.publishing.backfills.control import (
    Listed,
    backfill_aliases,
    cancel,
    find,
    pause,
    resume,
    runner_of,
    runners,
    start,
)
from logpipe_signals.publishing.backfills.lookups import parse_lookups, since
from logpipe_signals.publishing.backfills.progress import Plan, Progress, plan, progress
from logpipe_signals.publishing.backfills.targets import Target, target, targets

__all__ = [
    "Listed",
    "Plan",
    "Progress",
    "Target",
    "backfill_aliases",
    "cancel",
    "find",
    "parse_lookups",
    "pause",
    "plan",
    "progress",
    "resume",
    "runner_of",
    "runners",
    "since",
    "start",
    "target",
    "targets",
]
