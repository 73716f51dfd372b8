"""What became of records: counted, logged without their payload, and announced by signals."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from logpipe_signals import signals
from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.exceptions import IgnoredMessageTypeError
from logpipe_signals.models.dead_letters import DeadLetterState, Side
from logpipe_signals.redaction import text_of, without

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class BatchReport:
    """What became of one batch, or of many."""

    applied: list[tuple[Incoming, Any]] = field(default_factory=list)
    failed: list[Refused] = field(default_factory=list)
    stale: list[Incoming] = field(default_factory=list)
    parked: list[Incoming] = field(default_factory=list)
    conflict: bool = False
    handled: int = 0
    """How many records the position moved over."""
    kept: int = 0
    """How many of those that failed are dead letters."""
    superseded: int = 0
    """How many dead letters were closed by what was applied."""

    def add(self, other: BatchReport) -> None:
        """Take in what another one found."""
        self.applied += other.applied
        self.failed += other.failed
        self.stale += other.stale
        self.parked += other.parked
        self.conflict = self.conflict or other.conflict
        self.handled += other.handled
        self.kept += other.kept
        self.superseded += other.superseded


def announce_batch(report: BatchReport, partition: TopicPartition, seconds: float, group: str) -> None:
    """Tell the world about a batch, after its commit."""
    for incoming, instance in report.applied if signals.message_applied.receivers else ():
        sender = incoming.route.serializer_class
        signals.announce(signals.message_applied, sender, record=incoming.record, instance=instance)
    for incoming in report.stale:
        logger.info("Dropped a stale record of %s.", incoming.identity, extra=place(incoming.record))
        signals.announce(signals.message_dropped, incoming.route.serializer_class, record=incoming.record)
    for incoming in report.parked:
        signals.announce(signals.message_parked, incoming.route.serializer_class, record=incoming.record)
    for refused in report.failed:
        report_refused(refused)
    _announce_letters(report, partition.topic)
    if signals.batch_applied.has_listeners():
        signals.announce(
            signals.batch_applied,
            None,
            group=group,
            topic=partition.topic,
            partition=partition.partition,
            applied=len(report.applied),
            failed=len(report.failed),
            dropped=len(report.stale),
            parked=len(report.parked),
            seconds=seconds,
            applied_by_type=dict(Counter(incoming.route.message_type for incoming, _ in report.applied)),
            latencies_seconds=_latencies_seconds(report),
        )


def _announce_letters(report: BatchReport, topic: str) -> None:
    side, added = Side.CONSUMER.value, signals.dead_letters_added
    if report.kept:
        signals.announce(added, None, side=side, topic=topic, state=DeadLetterState.OPEN.value, count=report.kept)
    if report.parked:
        parked = len(report.parked)
        signals.announce(added, None, side=side, topic=topic, state=DeadLetterState.PARKED.value, count=parked)
    if report.superseded:
        announce_closed(topic, DeadLetterState.SUPERSEDED, report.superseded)


def announce_closed(topic: str, state: DeadLetterState, count: int) -> None:
    """Tell the receivers of `dead_letters_closed` about a consumer's letters."""
    side = Side.CONSUMER.value
    signals.announce(signals.dead_letters_closed, None, side=side, topic=topic, state=state.value, count=count)


def _latencies_seconds(report: BatchReport) -> list[float]:
    now = time.time()
    return [
        max(0.0, now - incoming.record.timestamp / 1000)
        for incoming, _ in report.applied
        if incoming.record.timestamp and incoming.record.timestamp > 0
    ]


def report_refused(refused: Refused) -> None:
    """Log and announce one record that could not be applied; its payload and the error's text stay at DEBUG."""
    record, error = refused.record, refused.error
    where = f"{record.topic}/{record.partition}@{record.offset}"
    if isinstance(error, IgnoredMessageTypeError):
        logger.debug("Passed over %s: its type is ignored.", where, extra=place(record))
        return
    logger.error("Could not apply %s: %s.", where, type(error).__name__, extra=place(record))
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("Could not apply %s: %s", where, without(text_of(error), refused.secrets()), extra=place(record))
    sender = refused.route.serializer_class if refused.route is not None else None
    signals.announce(signals.message_failed, sender, record=record, error=error)


def place(record: Record) -> dict[str, Any]:
    """Return where a record stands, for structured logs."""
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key_text}
