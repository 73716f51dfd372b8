"""KAFKA_FENCING="transactions": the log itself refuses a relay that was held up past its lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from logpipe_signals.backend.base import Message, Subscription
from logpipe_signals.backend.kafka import Consumer, Producer
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError, MessageRejected
from tests.conftest import ChangeSettings

TIMEOUT_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _kafka(kafka_broker: str, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[kafka_broker], KAFKA_FENCING="transactions")


@pytest.fixture
def topic() -> str:
    return f"fencing-{uuid4().hex[:8]}"


@pytest.fixture
def fenced() -> Iterator[Callable[[str], Producer]]:
    made: list[Producer] = []

    def make(owner: str) -> Producer:
        producer = Producer().fenced(owner)
        producer.ready()
        made.append(producer)
        return producer

    yield make
    for producer in made:
        producer.close()


def message(topic: str, value: bytes) -> Message:
    return Message(topic=topic, key="k", value=value)


def send(producer: Producer, *messages: Message) -> list[Exception | None]:
    delivery = producer.submit(messages, timeout_seconds=TIMEOUT_SECONDS)
    return [outcome.error for outcome in delivery.wait(TIMEOUT_SECONDS)]


def committed(topic: str) -> list[bytes | None]:
    consumer = Consumer(Subscription(topics=(topic,)))
    try:
        found: list[bytes | None] = []
        while records := consumer.poll(max_records=100, timeout_seconds=3.0):
            found += [record.value for record in records]
        return found
    finally:
        consumer.close()


def test_batches_are_committed_one_after_the_other(topic: str, fenced: Callable[[str], Producer]) -> None:
    relay = fenced(uuid4().hex)

    assert send(relay, message(topic, b"1"), message(topic, b"2")) == [None, None]
    assert send(relay, message(topic, b"3")) == [None]
    assert committed(topic) == [b"1", b"2", b"3"]


def test_the_log_refuses_what_a_fenced_relay_sends(topic: str, fenced: Callable[[str], Producer]) -> None:
    owner = uuid4().hex
    late, heir = fenced(owner), fenced(uuid4().hex)
    assert send(late, message(topic, b"in time")) == [None]

    heir.fence(owner)
    assert send(heir, message(topic, b"of the heir")) == [None]
    (error,) = send(late, message(topic, b"too late"))

    assert isinstance(error, BackendUnavailable)
    assert committed(topic) == [b"in time", b"of the heir"]


def test_what_a_fenced_relay_had_begun_is_never_seen(topic: str, fenced: Callable[[str], Producer]) -> None:
    owner = uuid4().hex
    late, heir = fenced(owner), fenced(uuid4().hex)
    assert send(late, message(topic, b"in time")) == [None]
    begun = late.submit([message(topic, b"begun")], timeout_seconds=TIMEOUT_SECONDS)

    heir.fence(owner)
    (outcome,) = begun.wait(TIMEOUT_SECONDS)

    assert isinstance(outcome.error, BackendUnavailable)
    assert committed(topic) == [b"in time"]


def test_a_fenced_relay_sends_again_when_it_got_ready_anew(topic: str, fenced: Callable[[str], Producer]) -> None:
    owner = uuid4().hex
    late, heir = fenced(owner), fenced(uuid4().hex)
    heir.fence(owner)
    send(late, message(topic, b"too late"))

    late.ready()

    assert send(late, message(topic, b"again")) == [None]


def test_nothing_is_sent_by_a_relay_that_did_not_get_ready(topic: str) -> None:
    with pytest.raises(BackendUnavailable):
        Producer().fenced("unready").submit([message(topic, b"x")], timeout_seconds=1.0)


def test_a_message_that_is_too_large_costs_itself_alone(topic: str, fenced: Callable[[str], Producer]) -> None:
    relay = fenced(uuid4().hex)

    small, large, other = send(
        relay, message(topic, b"small"), message(topic, b"x" * 3_000_000), message(topic, b"other")
    )

    assert (small, other) == (None, None)
    assert isinstance(large, MessageRejected)
    assert committed(topic) == [b"small", b"other"]


def test_a_log_that_cannot_fence_says_so() -> None:
    from logpipe_signals.backend.dummy import Producer as Dummy

    with pytest.raises(DeclarationError, match="KAFKA_FENCING"):
        Dummy().fenced("a")
