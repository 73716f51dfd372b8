"""
Monitoring: how much waits, who works, how far behind, what was set aside. Numbers only, read and never written.

    from logpipe_signals import monitoring

    monitoring.overview()                # everything below at once, with what could not be told
    monitoring.outbox("default")         # what waits, by publication
    monitoring.relays("default")         # who sends, and which lanes they hold
    monitoring.lanes("default")          # how many lanes are held, and by how many
    monitoring.consumers("subscriber")   # who applies, and which partitions they hold
    monitoring.lag("subscriber")         # how far each group is behind, by topic and partition
    monitoring.dead_letters("default")   # by side, state and topic
    monitoring.backfills("default")      # what is sent again, and how far that came
    monitoring.audits("subscriber")      # the newest audit of each topic, and how many rows differ

Every answer is bounded: a table is never counted to its end (`is_exact` says where a number is an estimate), and a log
that is away is not waited for longer than a few seconds.
"""

from __future__ import annotations

from logpipe_signals.monitoring.behind import LagReport, PartitionLag, lag, recent_lag
from logpipe_signals.monitoring.depth import OutboxDepth, oldest_seconds, outbox
from logpipe_signals.monitoring.jobs import AuditProgress, BackfillProgress, audits, backfills
from logpipe_signals.monitoring.letters import DeadLetterCount, dead_letters
from logpipe_signals.monitoring.overview import Overview, overview
from logpipe_signals.monitoring.places import databases
from logpipe_signals.monitoring.running import (
    LaneCover,
    RunningConsumer,
    RunningRelay,
    consumers,
    lanes,
    relays,
)

__all__ = [
    "AuditProgress",
    "BackfillProgress",
    "DeadLetterCount",
    "LagReport",
    "LaneCover",
    "OutboxDepth",
    "Overview",
    "PartitionLag",
    "RunningConsumer",
    "RunningRelay",
    "audits",
    "backfills",
    "consumers",
    "databases",
    "dead_letters",
    "lag",
    "lanes",
    "oldest_seconds",
    "outbox",
    "overview",
    "recent_lag",
    "relays",
]
