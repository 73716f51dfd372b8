"""The tables: outbox, source, leases, backfills, presences, offsets, dead letters, and the embedded log."""

from logpipe_signals.models.backfills import Backfill, BackfillKey
from logpipe_signals.models.database_log import LogPartition, LogRecord
from logpipe_signals.models.dead_letters import DeadLetter
from logpipe_signals.models.leases import Lease
from logpipe_signals.models.offsets import AppliedSequence, Offset
from logpipe_signals.models.outbox import OutboxRow
from logpipe_signals.models.presence import Presence
from logpipe_signals.models.source import Source

__all__ = [
    "AppliedSequence",
    "Backfill",
    "BackfillKey",
    "DeadLetter",
    "Lease",
    "LogPartition",
    "LogRecord",
    "Offset",
    "OutboxRow",
    "Presence",
    "Source",
]
