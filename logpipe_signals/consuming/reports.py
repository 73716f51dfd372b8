"""What became of records: counted, logged without their payload, and announced by signals."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from logpipe_signals import signals
from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.exceptions import IgnoredMessageTypeError
from logpipe_signals.redaction import without

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

    def add(self, other: BatchReport) -> None:
        """Take in what another one found."""
        self.applied += other.applied
        self.failed += other.failed
        self.stale += other.stale
        self.parked += other.parked
        self.conflict = self.conflict or other.conflict
        self.handled += other.handled


def announce_batch(report: BatchReport, partition: TopicPartition, seconds: float) -> None:
    """Tell the world about a batch, after its commit."""
    for incoming, instance in report.applied if signals.message_applied.receivers else ():
        sender = incoming.route.serializer_class
        signals.announce(signals.message_applied, sender, record=incoming.record, instance=instance)
    for incoming in report.stale:
        logger.info("Dropped a stale record of %s.", incoming.identity, extra=place(incoming.record))
    for refused in report.failed:
        report_refused(refused)
    signals.announce(
        signals.batch_applied,
        None,
        topic=partition.topic,
        partition=partition.partition,
        applied=len(report.applied),
        failed=len(report.failed),
        seconds=seconds,
    )


def report_refused(refused: Refused) -> None:
    """Log and announce one record that could not be applied; its payload and the error's text stay at DEBUG."""
    record, error = refused.record, refused.error
    where = f"{record.topic}/{record.partition}@{record.offset}"
    if isinstance(error, IgnoredMessageTypeError):
        logger.debug("Passed over %s: its type is ignored.", where, extra=place(record))
        return
    logger.error("Could not apply %s: %s.", where, type(error).__name__, extra=place(record))
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("Could not apply %s: %s", where, without(str(error), refused.secrets()), extra=place(record))
    sender = refused.route.serializer_class if refused.route is not None else None
    signals.announce(signals.message_failed, sender, record=record, error=error)


def place(record: Record) -> dict[str, Any]:
    """Return where a record stands, for structured logs."""
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key_text}
