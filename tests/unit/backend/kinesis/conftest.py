"""A Kinesis in memory in the place of boto3's client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logpipe_signals.backend import kinesis
from logpipe_signals.backend.base import Message, Record, Sent, Subscription
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis import client, family, queues, reading, sending
from tests.conftest import ChangeSettings
from tests.unit.backend.kinesis.fake import FakeKinesis

Open = Callable[..., kinesis.Consumer]
PATIENCE_SECONDS = 20.0


@pytest.fixture
def fake(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKinesis]:
    """Return a Kinesis with a stream `people` of one shard; pauses are short, and shards are listed often."""
    made = FakeKinesis()
    logpipe_settings(KINESIS_ENDPOINT_URL="http://fake", KINESIS_REGION="eu-central-1", KINESIS_FETCH_LIMIT=100)
    monkeypatch.setitem(client._clients.by_settings, ("eu-central-1", "http://fake"), made)
    monkeypatch.setattr(family, "LIST_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(queues, "pause_seconds", lambda attempts: 0.01)
    monkeypatch.setattr(reading, "pause_seconds", lambda attempts: 0.01)
    yield made
    sending.close_senders()


@pytest.fixture
def open_consumer(fake: FakeKinesis) -> Iterator[Open]:
    """Return a function that makes a consumer of people; it is closed with the test."""
    opened: list[kinesis.Consumer] = []

    def make(**subscription: Any) -> kinesis.Consumer:
        opened.append(kinesis.Consumer(Subscription(**{"topics": ("people",), **subscription})))
        return opened[-1]

    yield make
    for consumer in opened:
        consumer.close()


def send(*messages: tuple[str | None, bytes | None], timeout_seconds: float = 10.0) -> list[Sent]:
    """Send (key, value) pairs as one batch and return the outcomes."""
    batch = [Message(topic="people", key=key, value=value) for key, value in messages]
    return kinesis.Producer().submit(batch, timeout_seconds=timeout_seconds).wait(timeout_seconds)


def read(consumer: kinesis.Consumer, count: int) -> list[bytes | None]:
    """Poll until so many records came, and return their values."""
    return [record.value for record in records_of(consumer, count)]


def records_of(consumer: kinesis.Consumer, count: int) -> list[Record]:
    """Poll until so many records came."""
    records: list[Record] = []
    poll_until(consumer, lambda: len(records) >= count, records)
    assert len(records) == count
    return records


def poll_until(consumer: kinesis.Consumer, condition: Callable[[], bool], records: list[Record] | None = None) -> None:
    """Poll until a condition holds; what comes is added to the records."""
    deadline = Deadline(PATIENCE_SECONDS)
    while not condition():
        assert not deadline.passed, "It did not happen in time."
        found = consumer.poll(max_records=1000, timeout_seconds=0.05)
        if records is not None:
            records += found
