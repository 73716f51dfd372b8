"""
Housekeeping: what is done with goes after a while, in small transactions that live work does not wait for.

    from logpipe_signals import housekeeping

    housekeeping.prune("default")                       # every kind, as RETENTION_DAYS says
    housekeeping.prune("default", kinds=["trail"], days=30, dry_run=True)

Never removed: the outbox, open dead letters (unless asked), positions, leases, and running jobs.
"""

from __future__ import annotations

from logpipe_signals.housekeeping.kinds import GUARDS, KINDS, retention_days
from logpipe_signals.housekeeping.pruning import Pruned, prune

__all__ = ["GUARDS", "KINDS", "Pruned", "prune", "retention_days"]
