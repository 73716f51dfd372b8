"""
Delivering records to a subscription, without a log: they are decoded, routed and applied by the consumer's own code.

    deliver(make_record("people", "person", {"uuid": ..., "first_name": "Joe"}))
    deliver(record, to=PersonSerializer)                   # a serializer that is subscribed to nothing
    deliver(*published)                                    # what capture_published() found

A record that cannot be applied raises, as the serializer raised; with `raise_errors=False` the subscription's own
policy decides, dead letters included. Positions are kept in memory, so a record may be delivered as often as you like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.backend.base import OffsetStore, Position, Record, TopicPartition
from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.apply import Applier
from logpipe_signals.consuming.batch import Batch, Item
from logpipe_signals.consuming.consumer import Consumer, MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.reports import BatchReport
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.registry import SerializerClass
from logpipe_signals.testing.published import PublishedMessage


class Delivery:
    """
    What became of delivered records.

    applied: The instances that were saved, None for a delete, in the order of the records.
    errors:  Why records were refused.
    stale:   Records that an earlier one of a higher sequence made superfluous.
    parked:  Records that wait behind a dead letter of their identity.
    """

    def __init__(self, report: BatchReport) -> None:
        self.applied: list[Any] = [instance for _, instance in report.applied]
        self.errors: list[Exception] = [refused.error for refused in report.failed]
        self.stale: list[Record] = [incoming.record for incoming in report.stale]
        self.parked: list[Record] = [incoming.record for incoming in report.parked]

    def __repr__(self) -> str:
        return (
            f"<Delivery applied={len(self.applied)} errors={len(self.errors)} stale={len(self.stale)} "
            f"parked={len(self.parked)}>"
        )


def deliver(
    *records: Record | PublishedMessage, to: SerializerClass | Consumer | None = None, raise_errors: bool = True
) -> Delivery:
    """
    Apply records, in order, as the consumer would, and tell what became of them.

    Args:
        to: A serializer or a Consumer, instead of what is subscribed to the records' topics.
        raise_errors: Raise for the first record that cannot be applied; else its subscription's policy decides.

    Raises:
        LogPipeMessageError: See `raise_errors`; ValidationError is one.
        DeclarationError: Nothing is subscribed to a topic.
    """
    plain = [each.as_record() if isinstance(each, PublishedMessage) else each for each in records]
    routes = _routes(plain, to)
    before = {topic: found.throw_errors for topic, found in routes.items()}
    try:
        for found in routes.values():
            found.throw_errors = found.throw_errors or raise_errors
        return Delivery(_apply(plain, routes))
    finally:
        for topic, found in routes.items():
            found.throw_errors = before[topic]


def _routes(records: Sequence[Record], to: SerializerClass | Consumer | None) -> Mapping[str, Routes]:
    topics = sorted({record.topic for record in records})
    if to is None:
        return MultiConsumer(*declared_consumers(topics)).routes() if topics else {}
    consumer = to if isinstance(to, Consumer) else None
    if consumer is not None:
        return dict.fromkeys(topics, consumer.routes)
    routes = Routes()
    routes.add(to)  # type: ignore[arg-type]
    return dict.fromkeys(topics, routes)


def _apply(records: Iterable[Record], routes: Mapping[str, Routes]) -> BatchReport:
    positions = Positions(_InMemory(get_offset_backend()), consumer_group())
    applier, total = Applier(positions), BatchReport()
    for partition, some in groupby(records, key=lambda record: record.topic_partition):
        for record in some:  # One at a time: what fails keeps nothing else from its own transaction.
            item = Item(what=routes[partition.topic].decode(record), position_after=0)
            total.add(applier.apply(Batch(partition=partition, items=[item])))
    return total


class _InMemory(OffsetStore):
    """Keeps no position: each record is delivered because the test says so."""

    supports_transactions = True

    def __init__(self, kept_by: OffsetStore) -> None:
        self._kept_by = kept_by

    def alias(self) -> str:
        return self._kept_by.alias()

    def read(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        return dict.fromkeys(partitions)

    def advance(self, group: str, partition: TopicPartition, *, expected: Position | None, position: Position) -> None:
        pass
