"""Writing to Kinesis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from django.core.checks import CheckMessage

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Delivery, Layout, Message
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.kinesis import config
from logpipe_signals.backend.kinesis.client import close_clients
from logpipe_signals.backend.kinesis.delivery import Entry, KinesisDelivery
from logpipe_signals.backend.kinesis.describing import describe
from logpipe_signals.backend.kinesis.layout import layout_of
from logpipe_signals.backend.kinesis.limits import RECORD_BYTES, partition_key_of, refusal_of, refusal_of_size, size_of
from logpipe_signals.backend.kinesis.sending import close_senders, current_senders, shared_sender
from logpipe_signals.backend.kinesis.streams import record_bytes_of
from logpipe_signals.exceptions import LogPipeError


class Producer(base.Producer):
    """
    Writes to Kinesis: many records a call, one of a key at a time, every one with an outcome.

    The partition key is the message's key, so all messages of a key are in one shard, in order. Kinesis has neither
    headers nor tombstones.
    """

    supports_headers: ClassVar[bool] = False
    supports_tombstones: ClassVar[bool] = False

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        delivery = KinesisDelivery(timeout_seconds)
        sender = shared_sender()
        delivery.begin([_entry(message, delivery) for message in messages])
        for entry in delivery.entries:
            _refuse(entry)
        sender.start(delivery)
        return delivery

    def layout(self, topic: str) -> Layout | None:
        return layout_of(topic)

    def flush(self, timeout_seconds: float) -> None:
        deadline = Deadline(timeout_seconds)
        for sender in current_senders():
            sender.flush(deadline.remaining_seconds)

    def close(self) -> None:
        close_senders()
        close_clients()

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        return describe(topics, timeout_seconds=timeout_seconds)

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return config.check_producer()


def _entry(message: Message, delivery: KinesisDelivery) -> Entry:
    partition_key = partition_key_of(message.key)
    return Entry(message=message, partition_key=partition_key, size=size_of(message, partition_key), delivery=delivery)


def _refuse(entry: Entry) -> None:
    """Settle what the service would never take, and what nobody knows whether it would."""
    refusal = refusal_of(entry.message)
    if refusal is None and entry.size > RECORD_BYTES:
        try:
            refusal = refusal_of_size(entry.message, entry.size, record_bytes_of(entry.message.topic))
        except LogPipeError as error:
            entry.failed(error)
    if refusal is not None:
        entry.failed(refusal)
