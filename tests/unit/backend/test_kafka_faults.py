"""What the two Kafka clients do when the broker, or the process itself, does not go on."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from logpipe_signals.backend.base import Message, Producer, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError, MissingTopicError
from testproject.services import KafkaBroker, TcpProxy, free_port
from tests.conformance.kafka_admin import KafkaAdmin
from tests.conftest import service_or_skip

TIMEOUT_SECONDS = 2.0
FROZEN_SECONDS = 4.0


@pytest.fixture(params=["kafka", "confluent"])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return each Kafka backend's module in turn, and close its clients afterwards."""
    module = importlib.import_module(f"logpipe_signals.backend.{request.param}")
    yield module
    module.Producer().close()


@pytest.fixture(scope="module")
def own_broker() -> Iterator[KafkaBroker]:
    """Return a broker that makes no topics by itself, with a second way in through a proxy."""
    broker = KafkaBroker(num_partitions=1, auto_create_topics=False, proxy=TcpProxy())
    with service_or_skip(broker):
        yield broker


@pytest.fixture
def topic(own_broker: KafkaBroker) -> str:
    """Return the name of a new topic with one partition on the own broker."""
    name = f"topic-{uuid.uuid4().hex[:12]}"
    KafkaAdmin(own_broker.bootstrap_servers).create_topic(name, 1)
    return name


def _message(topic: str, value: bytes = b"x") -> Message:
    return Message(topic=topic, key="joe", value=value)


def _submit(producer: Producer, *messages: Message, timeout_seconds: float = 15.0) -> list[Exception | None]:
    delivery = producer.submit(messages, timeout_seconds=timeout_seconds)
    return [outcome.error for outcome in delivery.wait(timeout_seconds)]


def _length(own_broker: KafkaBroker, topic: str) -> int:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": own_broker.bootstrap_servers, "group.id": "counting"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)[1])
    finally:
        consumer.close()


def test_a_process_that_was_frozen_past_its_time_sends_nothing_when_it_wakes_up(
    backend: Any, own_broker: KafkaBroker, topic: str
) -> None:
    """
    A relay was frozen for 4 s with 30 messages in kafka-python's queue and a time-out of 2 s: 25 of them were appended
    after it woke up, over what the relay that had taken its lanes had sent meanwhile.
    """
    name = backend.__name__.rpartition(".")[2]
    arguments = [name, own_broker.bootstrap_servers, topic, "30", str(TIMEOUT_SECONDS)]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.backend.kafka_child", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended before it could be frozen"
        time.sleep(FROZEN_SECONDS)
        os.kill(child.pid, signal.SIGCONT)
        output, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert output.split() == ["0", "30"]
    assert _length(own_broker, topic) == 1


def test_a_missing_topic_is_said_soon_and_the_others_get_their_messages(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.bootstrap_servers])
    started = Deadline(10)
    errors = _submit(backend.Producer(), _message(topic), _message("nowhere"), _message(topic), timeout_seconds=60)
    assert [type(error) for error in errors] == [type(None), MissingTopicError, type(None)]
    assert not started.passed


def test_without_a_broker_nothing_is_taken(backend: Any, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[f"127.0.0.1:{free_port()}"])
    with pytest.raises(BackendUnavailable):
        backend.Producer().submit([_message("people")], timeout_seconds=1.0)


def test_reading_without_a_broker_says_so(backend: Any, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[f"127.0.0.1:{free_port()}"])
    consumer = backend.Consumer(Subscription(topics=("people",)))
    try:
        with pytest.raises(BackendUnavailable):
            consumer.poll(max_records=1, timeout_seconds=1.0)
    finally:
        consumer.close()


def test_a_broker_that_hangs_costs_no_more_than_the_time_given(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.proxied_bootstrap_servers])
    producer = backend.Producer()
    assert _submit(producer, _message(topic), timeout_seconds=TIMEOUT_SECONDS) == [None]
    own_broker.proxy.hang()
    try:
        bound = Deadline(TIMEOUT_SECONDS + 5)
        errors = _submit(producer, _message(topic), _message(topic), timeout_seconds=TIMEOUT_SECONDS)
        assert [type(error) for error in errors] == [BackendUnavailable, BackendUnavailable]
        assert not bound.passed
    finally:
        own_broker.proxy.restore()


def test_sending_goes_on_when_the_broker_is_back(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.proxied_bootstrap_servers])
    producer = backend.Producer()
    assert _submit(producer, _message(topic), timeout_seconds=TIMEOUT_SECONDS) == [None]
    own_broker.proxy.cut()
    try:
        errors = _submit(producer, _message(topic), timeout_seconds=TIMEOUT_SECONDS)
        assert [type(error) for error in errors] == [BackendUnavailable]
    finally:
        own_broker.proxy.restore()
    assert _eventually_sent(producer, _message(topic))


def _eventually_sent(producer: Producer, message: Message) -> bool:
    deadline = Deadline(60)
    while not deadline.passed:
        try:
            if _submit(producer, message, timeout_seconds=5.0) == [None]:
                return True
        except BackendUnavailable:
            time.sleep(0.1)
    return False


def test_reading_goes_on_when_the_broker_is_back(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.proxied_bootstrap_servers])
    consumer = backend.Consumer(Subscription(topics=(topic,)))
    try:
        consumer.poll(max_records=1, timeout_seconds=1.0)
        own_broker.proxy.cut()
        consumer.poll(max_records=1, timeout_seconds=0.5)
        own_broker.proxy.restore()
        assert _eventually_sent(backend.Producer(), _message(topic, b"back"))
        assert _first(consumer).value == b"back"
    finally:
        own_broker.proxy.restore()
        consumer.close()


def _first(consumer: Any) -> Any:
    deadline = Deadline(60)
    while not deadline.passed:
        for record in consumer.poll(max_records=1, timeout_seconds=1.0):
            return record
    raise AssertionError("nothing came")


def test_the_broker_refuses_a_large_message_and_takes_its_neighbours(
    backend: Any, own_broker: KafkaBroker, logpipe_settings: Any
) -> None:
    """A broker refuses a whole record batch for one message; the client has to find out which."""
    from confluent_kafka.admin import AdminClient, NewTopic

    name = f"small-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": own_broker.bootstrap_servers})
    limits = {"max.message.bytes": "2000"}
    for future in admin.create_topics([NewTopic(name, 1, 1, config=limits)]).values():
        future.result(timeout=20)
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.bootstrap_servers])
    messages = [Message(topic=name, key=str(number), value=b"x" * (5000 if number == 3 else 10)) for number in range(6)]
    errors = [type(error).__name__ for error in _submit(backend.Producer(), *messages)]
    assert errors == ["NoneType", "NoneType", "NoneType", "MessageRejected", "NoneType", "NoneType"]


def test_settings_that_the_client_refuses_are_named_without_their_values(backend: Any, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_PRODUCER_KWARGS={"sasl_plain_password": "s3cret", "no_such_setting": "s3cret"})
    with pytest.raises(DeclarationError) as refusal:
        backend.Producer().submit([_message("people")], timeout_seconds=1.0)
    assert "no" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_a_setting_that_the_client_does_not_know_is_an_error_of_check(backend: Any, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_PRODUCER_KWARGS={"no_such_setting": 1}, KAFKA_CONSUMER_KWARGS={"nor_such": 1})
    found = [*backend.Producer.check(), *backend.Consumer.check()]
    assert [message.id for message in found] == ["logpipe_signals.E102", "logpipe_signals.E102"]


def test_no_bootstrap_servers_are_an_error_of_check(backend: Any, logpipe_settings: Any) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[])
    assert [message.id for message in backend.Producer.check()] == ["logpipe_signals.E101"]


def test_options_of_both_clients_may_stand_in_kafka_kwargs(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    both = {"client_id": "people-service", "compression_type": "gzip", "session_timeout_ms": 9000}
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=own_broker.bootstrap_servers, KAFKA_KWARGS=both)
    assert [*backend.Producer.check(), *backend.Consumer.check()] == []
    assert _submit(backend.Producer(), _message(topic)) == [None]
    consumer = backend.Consumer(Subscription(topics=(topic,)))
    try:
        assert _first(consumer).value == b"x"
    finally:
        consumer.close()


def test_kafkas_own_tools_see_the_position_that_the_log_was_told(
    backend: Any, own_broker: KafkaBroker, topic: str, logpipe_settings: Any
) -> None:
    from confluent_kafka import Consumer
    from confluent_kafka import TopicPartition as KafkaPartition

    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[own_broker.bootstrap_servers])
    _submit(backend.Producer(), _message(topic), _message(topic))
    reader = backend.Consumer(Subscription(topics=(topic,), group=f"group-{topic}"))
    try:
        _first(reader)
        reader.commit_to_log({TopicPartition(topic, "0"): 1})
    finally:
        reader.close()
    tool = Consumer({"bootstrap.servers": own_broker.bootstrap_servers, "group.id": f"group-{topic}"})
    (committed,) = tool.committed([KafkaPartition(topic, 0)], timeout=20)
    tool.close()
    assert committed.offset == 1
