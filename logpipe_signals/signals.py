"""
Public signals, past tense. Receivers are called robustly: one that raises is logged and stops nothing.

message_sent:     sender=Publication, topic, partition, offset, key, identity, sequence
send_failed:      sender=Publication, topic, key, identity, error, permanent (bool)
batch_relayed:    sender=None, alias, sent, failed, retired, seconds
message_applied:  sender=serializer class, record, instance (None after a delete or a bulk apply)
message_failed:   sender=serializer class or None, record, error
batch_applied:    sender=None, topic, partition, applied, failed, seconds
position_moved:   sender=None, group, topic, partition, position
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)

message_sent = Signal()
send_failed = Signal()
batch_relayed = Signal()
message_applied = Signal()
message_failed = Signal()
batch_applied = Signal()
position_moved = Signal()


def announce(signal: Signal, sender: Any, **values: Any) -> None:
    """Send a signal to whoever listens; log a receiver that raises, and go on."""
    if not signal.has_listeners(sender):
        return
    for receiver, outcome in signal.send_robust(sender, **values):
        if isinstance(outcome, Exception):
            logger.error("A receiver of a logpipe_signals signal raised: %r", receiver, exc_info=outcome)
