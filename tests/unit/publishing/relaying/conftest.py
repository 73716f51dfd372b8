"""What the publishing tests share: the in-memory log, a relay that only runs when called, and rows in the outbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from logpipe_signals.backend.base import Delivered, Delivery, Message, Producer, RecordMetadata, Sent
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.keys import encode_pk, lane_of
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.lanes import all_lanes
from logpipe_signals.publishing.relay import Relay
from tests.conftest import ChangeSettings


class ScriptedProducer(Producer):
    """Takes messages in memory; a test says what it refuses, and with which error."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.refuse: Callable[[Message], Exception | None] = lambda message: None
        self.away = False

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        if self.away:
            raise BackendUnavailable("The scripted log is away.")
        return Delivered([self._outcome(message) for message in messages])

    def _outcome(self, message: Message) -> Sent:
        if (error := self.refuse(message)) is not None:
            return Sent(error=error)
        self.sent.append(message)
        return Sent(metadata=RecordMetadata(message.topic, "0", len(self.sent) - 1))

    def bodies(self) -> list[dict[str, Any]]:
        """Return what was sent, parsed."""
        return [json.loads(message.value.partition(b":")[2]) for message in self.sent if message.value]


@pytest.fixture(autouse=True)
def _worker_mode(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    logpipe_settings(RELAY="worker")
    monkeypatch.setitem(outbox._lane_counts, "default", 8)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> ScriptedProducer:
    """Return the log that relays of this test write to."""
    producer = ScriptedProducer()
    monkeypatch.setattr("logpipe_signals.publishing.relay.get_producer_backend", lambda: producer)
    return producer


@pytest.fixture
def make_relay(log: ScriptedProducer) -> Iterator[Callable[..., Relay]]:
    """Return a maker of relays that already hold their lanes."""
    relays: list[Relay] = []

    def make(**options: Any) -> Relay:
        relay = Relay("default", **options)
        relay.keep_lanes()
        relays.append(relay)
        return relay

    yield make
    for relay in relays:
        relay.lanes.release()


@pytest.fixture
def relay(make_relay: Callable[..., Relay]) -> Relay:
    """Return a relay that holds all lanes."""
    return make_relay()


def enqueue(instance: Any, publication: str, *, key: str | None = None, **values: Any) -> OutboxRow:
    """Write an outbox row as capture does."""
    topic = publication.partition(":")[2]
    key = str(instance.uuid) if key is None else key
    return OutboxRow.objects.create(
        publication=publication,
        object_id=encode_pk(instance),
        key=key,
        lane=lane_of(topic, key, len(all_lanes("default"))),
        **values,
    )
