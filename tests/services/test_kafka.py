"""A real broker: it answers on each of its ways in, and keeps its log through its own death."""

from collections.abc import Callable
from typing import cast

import pytest
from kafka import KafkaConsumer, KafkaProducer

from logpipe_signals.testing.services.service import Service
from testproject.services import KafkaBroker, ServiceFailed, TcpProxy

pytestmark = pytest.mark.kafka

CREDENTIALS = ("ada", "engine")


@pytest.fixture(scope="module")
def broker(start: Callable[[Service], Service]) -> KafkaBroker:
    return cast("KafkaBroker", start(KafkaBroker(num_partitions=3, proxy=TcpProxy(), credentials=CREDENTIALS)))


def produce(bootstrap_servers: str, topic: str, value: bytes, **options: object) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, **options)
    try:
        producer.send(topic, value).get(timeout=30)
    finally:
        producer.close()


def consume(bootstrap_servers: str, topic: str, count: int, **options: object) -> list[bytes]:
    """Read this many records of a topic from its beginning."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
        **options,
    )
    try:
        return [record.value for _number, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()


def test_a_consumer_group_reads_what_was_produced(broker: KafkaBroker) -> None:
    produce(broker.bootstrap_servers, "first", b"hello")
    assert consume(broker.bootstrap_servers, "first", 1, group_id="readers") == [b"hello"]


def test_a_new_topic_has_the_partitions_asked_for(broker: KafkaBroker) -> None:
    produce(broker.bootstrap_servers, "parted", b"hello")
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers)
    assert consumer.partitions_for_topic("parted") == {0, 1, 2}
    consumer.close()


def test_the_sasl_listener_lets_in_who_knows_the_password(broker: KafkaBroker) -> None:
    options = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": CREDENTIALS[0],
        "sasl_plain_password": CREDENTIALS[1],
    }
    produce(broker.sasl_bootstrap_servers, "secret", b"hello", **options)
    assert consume(broker.bootstrap_servers, "secret", 1) == [b"hello"]


def test_a_cut_proxy_holds_back_its_own_clients_and_no_others(broker: KafkaBroker) -> None:
    assert broker.proxy is not None
    producer = KafkaProducer(bootstrap_servers=broker.proxied_bootstrap_servers)
    producer.send("proxied", b"before").get(timeout=30)

    broker.proxy.cut()
    try:
        held_back = producer.send("proxied", b"held back")
        produce(broker.bootstrap_servers, "proxied", b"directly")
        assert not held_back.is_done
    finally:
        broker.proxy.restore()
    held_back.get(timeout=60)
    producer.close()

    assert set(consume(broker.bootstrap_servers, "proxied", 3)) == {b"before", b"directly", b"held back"}


def test_a_broker_killed_and_restarted_keeps_its_log_and_its_address(broker: KafkaBroker) -> None:
    address = broker.bootstrap_servers
    produce(address, "lasting", b"before")

    broker.kill()
    assert not broker.is_running
    broker.restart()

    produce(address, "lasting", b"after")
    assert sorted(consume(address, "lasting", 2)) == [b"after", b"before"]


def test_a_frozen_broker_answers_again_once_resumed(broker: KafkaBroker) -> None:
    broker.freeze()
    assert broker.is_running
    broker.resume()
    produce(broker.bootstrap_servers, "thawed", b"hello")
    assert consume(broker.bootstrap_servers, "thawed", 1) == [b"hello"]


def test_a_broker_that_fails_to_start_shows_its_log() -> None:
    with pytest.raises(ServiceFailed, match=r"(?s)Apache Kafka ended while it was starting.*no\.such\.Authorizer"):
        KafkaBroker(config={"authorizer.class.name": "no.such.Authorizer"}).start()


def test_a_setting_that_kafka_refuses_is_named() -> None:
    with pytest.raises(ServiceFailed, match=r"(?s)could not be formatted.*num\.io\.threads"):
        KafkaBroker(config={"num.io.threads": "0"}).start()


def test_a_broker_without_a_proxy_says_how_to_get_one() -> None:
    with pytest.raises(ServiceFailed, match=r"KafkaBroker\(proxy=TcpProxy\(\)\)"):
        _ = KafkaBroker().proxied_bootstrap_servers
