"""
After the commit: send inline, or wake the relay.

Capture calls `schedule` inside the change's transaction; what is scheduled runs after the commit, robustly, so that
nothing that goes wrong with the log is ever raised into the code that saved.

A relay is woken by PostgreSQL's NOTIFY. It is sent after the commit, because inside the transaction it takes a lock
that makes all commits wait for each other, and not more often than is useful: a relay that was just woken looks again
within milliseconds anyway. On other databases, and behind pgbouncer, the relay's own polling finds the change.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db import connections, transaction

from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.publishing.transactions import commits_by_hand

CHANNEL = "logpipe_signals"
NOTIFY_SECONDS = 0.01


class _Lanes(threading.local):
    def __init__(self) -> None:
        self.of_alias: dict[str, set[int]] = {}
        self.is_relaying = False


_scheduled = _Lanes()
_notified_at: dict[str, float] = {}


@contextmanager
def relaying() -> Iterator[None]:
    """Let what a relay itself enqueues wake other relays, and not begin an inline one inside of it."""
    before, _scheduled.is_relaying = _scheduled.is_relaying, True
    try:
        yield
    finally:
        _scheduled.is_relaying = before


def schedule(using: str, lanes: Collection[int]) -> None:
    """Remember that these lanes have something new, for when the transaction commits."""
    if _scheduled.is_relaying and settings.RELAY == "inline":
        return
    if commits_by_hand(using):
        _leave_to_sweeper(using)
        return
    _scheduled.of_alias.setdefault(using, set()).update(lanes)

    def committed() -> None:  # Not a partial: Django 5.2 asks a hook that raised for its __qualname__.
        _committed(using)

    transaction.on_commit(committed, using=using, robust=True)


def _leave_to_sweeper(using: str) -> None:
    """Nothing tells of a commit by hand, and hooks that never run would pile up: who polls finds the change."""
    if settings.RELAY == "inline":
        from logpipe_signals.publishing.inline import sweeper

        sweeper.start(using)


def _committed(using: str) -> None:
    # Many changes of one transaction register many hooks; the first takes all their lanes, the others find none.
    lanes = _scheduled.of_alias.pop(using, None)
    if not lanes:
        return
    if settings.RELAY == "inline":
        from logpipe_signals.publishing import inline

        inline.send_now(using, lanes)
    else:
        notify(using)


def notify(using: str) -> None:
    """Wake the relays of a database, unless this process did so a moment ago."""
    now = clock.seconds()
    if connections[using].vendor != "postgresql" or now - _notified_at.get(using, 0.0) < NOTIFY_SECONDS:
        return
    _notified_at[using] = now
    with connections[using].cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
