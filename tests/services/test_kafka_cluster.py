"""A real cluster: it loses its leader and goes on."""

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from testproject.services import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as cluster:
        yield cluster


def test_a_partition_is_led_by_another_broker_when_its_leader_is_killed(cluster: KafkaCluster) -> None:
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, acks="all")
    producer.send("led", b"before", partition=0).get(timeout=30)
    first = cluster.leader_of("led", 0)

    cluster.kill(first)
    second = cluster.leader_of("led", 0)
    record = producer.send("led", b"after", partition=0).get(timeout=60)
    cluster.restart(first)
    producer.close()

    assert second != first
    assert record.offset == 1
    assert all(broker.is_running for broker in cluster.brokers.values())
