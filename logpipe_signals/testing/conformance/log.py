"""The logs under test: how each is reached, and what it can."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from logpipe_signals.backend.base import Consumer, Message, Position, Producer, Record, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline

PATIENCE_SECONDS = 60.0
"""How long a test waits for what has to happen."""


class ChangeSettings(Protocol):
    """Changes `LOGPIPE` keys for the rest of the test."""

    def __call__(self, **changes: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Log:
    """One backend, ready to use."""

    name: str
    producer_class: type[Producer]
    consumer_class: type[Consumer]
    create_topic: Callable[[str, int], None]
    """Make a topic with this many partitions, or give it more."""
    drop_before: Callable[[TopicPartition, int], None] = field(default=lambda partition, offset: None)
    """Remove a partition's records before this offset, as retention does."""
    too_large_bytes: int = 0
    misses_topics: bool = False
    """Whether reading a topic that is not there is an error; if not, the consumer waits for it."""
    client_options: dict[str, Any] = field(default_factory=dict)
    partition_name: Callable[[int], str] = str
    """What the log calls a partition of a new topic."""
    lacks: Collection[str] = frozenset()
    """What it does not have, so that the promises about it say nothing: "retention", "tombstones", "a size limit"."""
    foreign_position: Position = 70
    """A position that no record of a small topic has."""

    @contextmanager
    def running(self) -> Iterator[Log]:
        """Close the consumers that a test leaves open when the block ends."""
        opened: list[Consumer] = []
        original: Callable[..., None] = self.consumer_class.__init__

        def remembered(consumer: Consumer, *args: Any, **kwargs: Any) -> None:
            original(consumer, *args, **kwargs)
            opened.append(consumer)

        self.consumer_class.__init__ = remembered  # type: ignore[method-assign, assignment]
        try:
            yield self
        finally:
            self.consumer_class.__init__ = original  # type: ignore[method-assign]
            for consumer in opened:
                consumer.close()

    def topic(self, partitions: int = 3) -> str:
        """Make a topic of a new name."""
        name = f"topic-{uuid.uuid4().hex[:12]}"
        self.create_topic(name, partitions)
        return name

    def partition(self, topic: str, number: int = 0) -> TopicPartition:
        """Return a partition of a topic that this log made."""
        return TopicPartition(topic, self.partition_name(number))

    def keys_by_partition(self, topic: str, count: int) -> dict[str, list[str]]:
        """Send so many keys, and return which partition each went to."""
        keys = [f"key-{number}" for number in range(count)]
        places = self.send(topic, *[(key, b"") for key in keys])
        found: dict[str, list[str]] = {}
        for key, place in zip(keys, places, strict=True):
            found.setdefault(place.partition, []).append(key)
        return found

    def producer(self) -> Producer:
        """Return a producer."""
        return self.producer_class()

    def consumer(self, *topics: str, **subscription: Any) -> Consumer:
        """Return a consumer."""
        subscription.setdefault("client_options", self.client_options)
        return self.consumer_class(Subscription(topics=topics, **subscription))

    def send(self, topic: str, *bodies: tuple[str | None, bytes | None]) -> list[Any]:
        """Send (key, value) pairs as one batch, all of which have to arrive, and return where they are."""
        messages = [Message(topic=topic, key=key, value=value) for key, value in bodies]
        outcomes = self.producer().submit(messages, timeout_seconds=20).wait(20)
        assert [outcome.error for outcome in outcomes] == [None] * len(bodies)
        return [outcome.metadata for outcome in outcomes]

    def read(self, consumer: Consumer, count: int, *others: Consumer) -> list[Record]:
        """Poll until this many records came, from the first consumer; the others only take part in their group."""
        records: list[Record] = []
        deadline = Deadline(PATIENCE_SECONDS)
        while len(records) < count and not deadline.passed:
            records += consumer.poll(max_records=500, timeout_seconds=0.2)
            for other in others:
                other.poll(max_records=500, timeout_seconds=0.05)
        assert len(records) == count, f"{len(records)} records came instead of {count}"
        return records


def poll_until(condition: Callable[[], bool], *consumers: Consumer) -> list[Record]:
    """Poll in turn until the condition holds, and return what came meanwhile."""
    records: list[Record] = []
    deadline = Deadline(PATIENCE_SECONDS)
    while not condition():
        assert not deadline.passed, "It did not happen in time."
        for consumer in consumers:
            records += consumer.poll(max_records=500, timeout_seconds=0.1)
    return records
