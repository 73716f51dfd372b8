"""A gap on a real Kafka, which dropped records before the group read them: it is reported, and a policy decides."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from logpipe_signals import Consumer, formats
from logpipe_signals.backend import get_producer_backend
from logpipe_signals.backend.base import Message, TopicPartition
from logpipe_signals.exceptions import GapFound
from logpipe_signals.models import Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.conformance.kafka_admin import KafkaAdmin
from tests.scenarios.consuming.publisher import uuid_of

pytestmark = [pytest.mark.scenario, pytest.mark.django_db(databases="__all__", transaction=True)]


@pytest.fixture(params=["kafka", "confluent"])
def topic(request: pytest.FixtureRequest, kafka_broker: str, logpipe_settings: Callable[..., None]) -> str:
    """Return a topic of five records: the first was read, the next two are dropped."""
    backend = f"logpipe_signals.backend.{request.param}"
    logpipe_settings(
        PRODUCER_BACKEND=f"{backend}.Producer",
        CONSUMER_BACKEND=f"{backend}.Consumer",
        OFFSET_BACKEND=f"{backend}.ModelOffsetStore",
        KAFKA_BOOTSTRAP_SERVERS=[kafka_broker],
    )
    name = f"gap_{request.param}_{os.getpid()}_{time.monotonic_ns()}"
    admin = KafkaAdmin(kafka_broker)
    admin.create_topic(name, 1)
    outcomes = (
        get_producer_backend().submit([_message(name, number) for number in range(5)], timeout_seconds=20).wait(20)
    )
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert _run(name, iter_limit=1).applied == 1
    admin.drop_before(TopicPartition(name, "0"), 3)
    return name


def _send(messages: list[Message]) -> None:
    with closing(get_producer_backend()) as producer:
        outcomes = producer.submit(messages, timeout_seconds=20).wait(20)
    assert [outcome.error for outcome in outcomes] == [None] * len(messages)


def _message(topic: str, number: int) -> Message:
    person = {"uuid": uuid_of(number), "first_name": "Joe", "last_name": str(number), "email": ""}
    value = formats.render("json", {"type": "person", "version": 1, "message": person})
    return Message(topic=topic, key="k", value=value)


def _run(topic: str, iter_limit: int, **options: str):
    consumer = Consumer(topic, consumer_timeout_ms=10_000, **options)
    consumer.register(PersonCopySerializer)
    try:
        return consumer.run(iter_limit=iter_limit)
    finally:
        consumer.close()


def test_a_gap_is_reported_with_its_extent_and_reading_goes_on_behind_it(topic: str, caplog: pytest.LogCaptureFixture):
    assert _run(topic, iter_limit=2).applied == 2
    assert f"no longer has the records of {topic}/0 from 1 up to 3" in caplog.text
    assert set(PersonCopy.objects.values_list("last_name", flat=True)) == {"0", "3", "4"}
    assert Offset.objects.using("subscriber").get().position == "5"


def test_a_gap_can_stop_the_consumer(topic: str):
    with pytest.raises(GapFound, match="from 1 up to 3"):
        _run(topic, iter_limit=2, on_gap="raise")
    assert Offset.objects.using("subscriber").get().position == "1"
