"""Positions in Kafka's own consumer groups, and the ways in that ask for credentials."""

from __future__ import annotations

import importlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from logpipe_signals.backend import kafka
from logpipe_signals.backend.base import Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from testproject.services import KafkaBroker
from tests.conftest import service_or_skip

SECRET = "hunter2-is-a-secret"  # what must not be found in any log


@pytest.fixture(scope="module")
def guarded_broker() -> Iterator[KafkaBroker]:
    """Return a broker with a way in that asks for user and password."""
    broker = KafkaBroker(num_partitions=1, credentials=("relay", SECRET))
    with service_or_skip(broker):
        yield broker
        kafka.Producer().close()


def _first(consumer: Any) -> Any:
    deadline = Deadline(60)
    while not deadline.passed:
        for record in consumer.poll(max_records=1, timeout_seconds=1.0):
            return record
    raise AssertionError("nothing came")


def test_a_group_goes_on_where_kafka_says(guarded_broker: KafkaBroker, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=guarded_broker.bootstrap_servers)
    topic, store = f"topic-{uuid.uuid4().hex[:8]}", kafka.KafkaOffsetStore()
    for value in (b"1", b"2"):
        kafka.Producer().send(topic, "a", value)
    subscription = Subscription(
        topics=(topic,), group=topic, read_positions=lambda partitions: store.read(topic, partitions)
    )
    first = kafka.Consumer(subscription)
    record = _first(first)
    store.advance(topic, TopicPartition(topic, "0"), expected=None, position=first.position_after(record))
    first.close()
    second = kafka.Consumer(subscription)
    assert _first(second).value == b"2"
    second.close()


@pytest.mark.parametrize("name", ["kafka", "confluent"])
def test_credentials_in_kafka_pythons_names_open_either_client_and_reach_no_log(
    name: str, guarded_broker: KafkaBroker, logpipe_settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    backend = importlib.import_module(f"logpipe_signals.backend.{name}")
    logpipe_settings(
        KAFKA_BOOTSTRAP_SERVERS=[guarded_broker.sasl_bootstrap_servers],
        KAFKA_KWARGS={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "relay",
            "sasl_plain_password": SECRET,
        },
    )
    topic = f"topic-{uuid.uuid4().hex[:8]}"
    backend.Producer().send(topic, "a", b"1")
    consumer = backend.Consumer(Subscription(topics=(topic,)))
    assert _first(consumer).value == b"1"
    consumer.close()
    backend.Producer().close()
    assert [*backend.Producer.check(), *backend.Consumer.check()] == []
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("logpipe_signals")]
    assert SECRET not in "\n".join(ours)
