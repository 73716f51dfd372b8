"""
After the commit: send inline, or wake the relay.

Capture calls `schedule` inside the change's transaction; what is scheduled runs after the commit, robustly, so that
nothing that goes wrong with the log is ever raised into the code that saved.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import partial

from django.db import transaction

from logpipe_signals.conf import settings


class _Lanes(threading.local):
    def __init__(self) -> None:
        self.of_alias: dict[str, set[int]] = {}


_scheduled = _Lanes()


def schedule(using: str, lanes: Collection[int]) -> None:
    """Remember that these lanes have something new, for when the transaction commits."""
    _scheduled.of_alias.setdefault(using, set()).update(lanes)
    transaction.on_commit(partial(_committed, using), using=using, robust=True)


def _committed(using: str) -> None:
    # Many changes of one transaction register many hooks; the first takes all their lanes, the others find none.
    lanes = _scheduled.of_alias.pop(using, None)
    if not lanes:
        return
    if settings.RELAY == "inline":
        from logpipe_signals.publishing import inline

        inline.send_now(using, lanes)
