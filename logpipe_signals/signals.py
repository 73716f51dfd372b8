"""
Public signals, past tense. Receivers are called robustly: one that raises is logged and stops nothing.

They are called in the process and thread that did the thing, after what it wrote was committed; a slow receiver slows
that thread down. Those of partitions may come on a thread of the broker's client, while the consumer waits for it.

Publishing
    relay_started      sender=None, alias, name: a `run_relay` began to work
    relay_stopped      sender=None, alias, name
    message_sent       sender=Publication, topic, partition, offset, key, identity, sequence
    send_failed        sender=Publication, topic, key, identity, error, permanent (bool)
    batch_relayed      sender=None, alias, sent, failed, retired, seconds (waiting for the log and settling),
                       sent_by_type {(topic, type): messages}, latencies_seconds {topic: [seconds of each change, from
                       its statement to the log's acknowledgement; none of backfilled rows]}

Consuming
    consumer_started   sender=None, group, topics: a `run_consumer` began to work
    consumer_stopped   sender=None, group, topics
    partitions_assigned, partitions_revoked
                       sender=None, group, partitions [TopicPartition]
    message_applied    sender=serializer class, record, instance (None after a delete or a bulk apply)
    message_failed     sender=serializer class or None, record, error
    message_dropped    sender=serializer class, record: something newer was applied before
    message_parked     sender=serializer class, record: it waits behind an earlier one of its row that failed
    batch_applied      sender=None, group, topic, partition, applied, failed, dropped, parked, seconds,
                       applied_by_type {type: records}, latencies_seconds [of each applied record, from its timestamp
                       on the log to the commit]
    position_moved     sender=None, group, topic, partition, position
    gap_found          sender=None, topic, partition, expected, found: the log dropped what was not read yet

Both
    dead_letters_added   sender=None, side ("publisher", "consumer"), topic, state ("open", "parked"), count
    dead_letters_closed  sender=None, side, topic, state ("superseded", "replayed", "skipped"), count
    log_lost             sender=None, side, error: the log could not be reached; it is tried again
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)

relay_started = Signal()
relay_stopped = Signal()
message_sent = Signal()
send_failed = Signal()
batch_relayed = Signal()

consumer_started = Signal()
consumer_stopped = Signal()
partitions_assigned = Signal()
partitions_revoked = Signal()
message_applied = Signal()
message_failed = Signal()
message_dropped = Signal()
message_parked = Signal()
batch_applied = Signal()
position_moved = Signal()
gap_found = Signal()

dead_letters_added = Signal()
dead_letters_closed = Signal()
log_lost = Signal()


def announce(signal: Signal, sender: Any, **values: Any) -> None:
    """Send a signal to whoever listens; log a receiver that raises, and go on."""
    if not signal.has_listeners(sender):
        return
    for receiver, outcome in signal.send_robust(sender, **values):
        if isinstance(outcome, Exception):
            logger.error("A receiver of a logpipe_signals signal raised: %r", receiver, exc_info=outcome)
