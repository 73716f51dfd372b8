"""The tables: outbox, source, leases, backfills, offsets, sequences, dead letters and their trail, audits, the log."""

from logpipe_signals.models.audits import Audit, AuditFinding, AuditRange, AuditTouch
from logpipe_signals.models.backfills import Backfill, BackfillKey
from logpipe_signals.models.database_log import LogPartition, LogRecord
from logpipe_signals.models.dead_letters import DeadLetter
from logpipe_signals.models.leases import Lease
from logpipe_signals.models.offsets import AppliedSequence, Offset
from logpipe_signals.models.outbox import OutboxRow
from logpipe_signals.models.overview import Overview
from logpipe_signals.models.presence import Presence
from logpipe_signals.models.source import Source
from logpipe_signals.models.trail import TrailEntry

__all__ = [
    "AppliedSequence",
    "Audit",
    "AuditFinding",
    "AuditRange",
    "AuditTouch",
    "Backfill",
    "BackfillKey",
    "DeadLetter",
    "Lease",
    "LogPartition",
    "LogRecord",
    "Offset",
    "OutboxRow",
    "Overview",
    "Presence",
    "Source",
    "TrailEntry",
]
