"""
The embedded log: topics, partitions and records in the database `DATABASE_LOG_ALIAS`. Nothing else has to run.

A topic is made when it is first sent to, with `DATABASE_LOG_PARTITIONS` partitions. Offsets are given under the
partition row's lock, so they become visible in order and without holes. Readers look every `DATABASE_LOG_POLL_SECONDS`,
and at once when their own process sent something; a look takes some 32 MiB at most. Consumers of one group, in any
processes, share partitions by leases. Records stay until `prune` removes them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, connections

from logpipe_signals.backend import database_log, offsets, polled
from logpipe_signals.backend.base import (
    Delivered,
    Delivery,
    Layout,
    Message,
    Record,
    Sent,
    Subscription,
    TopicPartition,
)
from logpipe_signals.backend.base import Producer as BaseProducer
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.leased import LeaseClaims
from logpipe_signals.backend.naming import refusal_of_name
from logpipe_signals.backend.partitioning import Partitioner, layout_of
from logpipe_signals.backend.sharing import Claims
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected

logger = logging.getLogger(__name__)

LARGEST_VALUE_BYTES = database_log.LARGEST_VALUE_BYTES

_bell = polled.Bell()
_partitioner = Partitioner()
os.register_at_fork(after_in_child=_bell.reset_after_fork)


def create_topic(topic: str, partitions: int | None = None) -> None:
    """Make a topic, or give one more partitions (keys move then: see "More partitions" in docs/consuming.rst)."""
    count = settings.DATABASE_LOG_PARTITIONS if partitions is None else partitions
    database_log.create_topics(settings.DATABASE_LOG_ALIAS, [topic], count)
    _bell.ring()


def prune(*, older_than: timedelta, topics: Collection[str] | None = None) -> int:
    """Delete the log's records that are older, and return how many there were."""
    return database_log.prune(settings.DATABASE_LOG_ALIAS, older_than=older_than, topics=topics)


class Producer(BaseProducer):
    """Writes to the embedded log: a batch is one transaction, and over when `submit` returns."""

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        deadline = Deadline(timeout_seconds)
        refusals = [_refusal(message) for message in messages]
        taken = [message for message, refusal in zip(messages, refusals, strict=True) if refusal is None]
        outcomes = iter(_append(taken, deadline))
        return Delivered([next(outcomes) if refusal is None else Sent(error=refusal) for refusal in refusals])

    def layout(self, topic: str) -> Layout:
        return layout_of(len(database_log.partition_ids(settings.DATABASE_LOG_ALIAS, [topic])[topic]))

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return _check_alias()


def _append(messages: Sequence[Message], deadline: Deadline) -> list[Sent]:
    if not messages:
        return []
    using = settings.DATABASE_LOG_ALIAS
    try:
        places = database_log.append(using, messages, _partitioner, deadline, _bell.ring)
    except DatabaseError as error:
        # Not that the database was away (that is BackendUnavailable), but that it refuses one of them: which?
        if len(messages) == 1:
            return [Sent(error=_rejected(messages[0], error))]
        return [outcome for message in messages for outcome in _append([message], deadline)]
    return [Sent(metadata=place) for place in places]


def _refusal(message: Message) -> MessageRejected | None:
    if (refusal := refusal_of_name(message.topic)) is not None:
        return refusal
    size = len(message.value or b"")
    if size > LARGEST_VALUE_BYTES:
        return MessageRejected(
            f"A message of {size} bytes for topic {message.topic!r} is too large: "
            f"the embedded log takes {LARGEST_VALUE_BYTES}. Send less in one message."
        )
    return None


def _rejected(message: Message, error: DatabaseError) -> MessageRejected:
    rejected = MessageRejected(
        f"The embedded log refuses a message for topic {message.topic!r}: {type(error).__name__}."
    )
    rejected.__cause__ = error
    return rejected


class Consumer(polled.PolledConsumer):
    """Reads the embedded log."""

    bell = _bell

    def __init__(self, subscription: Subscription) -> None:
        self._using = settings.DATABASE_LOG_ALIAS
        self._ids: dict[TopicPartition, int] = {}
        super().__init__(subscription)

    def make_claims(self, group: str) -> Claims:
        return LeaseClaims(self._using, group, self.subscription.topics, _bell.ring)

    def ends(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        ends = {}
        for row in database_log.partitions_of(self._using, topics):
            partition = TopicPartition(row.topic, str(row.number))
            self._ids[partition] = row.pk
            ends[partition] = row.next_offset
        return ends

    def first_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        ids = {partition: self._ids[partition] for partition in partitions if partition in self._ids}
        return database_log.first_offsets(self._using, ids)

    def offsets_at(self, partitions: Collection[TopicPartition], milliseconds: int) -> dict[TopicPartition, int]:
        self.ends({partition.topic for partition in partitions} if set(partitions) - self._ids.keys() else ())
        ids = {partition: self._ids[partition] for partition in partitions if partition in self._ids}
        return database_log.first_offsets(self._using, ids, since=datetime.fromtimestamp(milliseconds / 1000, UTC))

    def fetch(self, ranges: Mapping[TopicPartition, range]) -> dict[TopicPartition, list[Record]]:
        return database_log.fetch(self._using, self._ids, ranges)

    def pause_seconds(self) -> float:
        return settings.DATABASE_LOG_POLL_SECONDS

    def close(self) -> None:
        try:
            super().close()
        except BackendUnavailable as error:
            logger.warning(
                "A consumer left its group unannounced; its partitions are free when its leases end: %s", error
            )

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return _check_alias()


def _check_alias() -> list[CheckMessage]:
    alias = settings.DATABASE_LOG_ALIAS
    if alias in connections:
        return []
    return [
        Error(
            f"LOGPIPE['DATABASE_LOG_ALIAS'] is {alias!r}, which is no database.",
            hint=f"Name one of DATABASES: {', '.join(sorted(connections))}.",
            id="logpipe_signals.E110",
        )
    ]


class ModelOffsetStore(offsets.ModelOffsetStore):
    """Positions in the project's database."""

    log = "database"
