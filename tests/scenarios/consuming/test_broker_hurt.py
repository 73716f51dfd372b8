"""Consumers beside a Kafka that is away, restarts, has no topic yet, or gets new partitions: all of it passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from testproject.services import KafkaBroker
from tests.conformance.kafka_admin import KafkaAdmin
from tests.conftest import service_or_skip
from tests.scenarios.consuming.conftest import KAFKA_SETTINGS, MakeField
from tests.scenarios.consuming.field import Field

pytestmark = [pytest.mark.scenario, pytest.mark.postgres, pytest.mark.kafka]

MESSAGES = 300
MakeKafkaField = Callable[..., Field]


@pytest.fixture(scope="module")
def hurt_broker() -> Iterator[KafkaBroker]:
    """Return a Kafka of these tests' own, on which topics are made by hand."""
    broker = KafkaBroker(num_partitions=3, auto_create_topics=False, config={"group.initial.rebalance.delay.ms": "0"})
    with service_or_skip(broker):
        yield broker


@pytest.fixture
def make_kafka_field(make_field: MakeField, hurt_broker: KafkaBroker) -> MakeKafkaField:
    """Return a function that makes a field on that Kafka."""

    def make(client: str, **settings: str) -> Field:
        consumer = {**KAFKA_SETTINGS["KAFKA_CONSUMER_KWARGS"], "metadata_max_age_ms": 500}
        return make_field(
            LOGPIPE_BACKEND=client,
            KAFKA_BOOTSTRAP_SERVERS=hurt_broker.bootstrap_servers,
            LOGPIPE_SETTINGS=json.dumps({"KAFKA_CONSUMER_KWARGS": consumer, **settings}),
        )

    return make


@pytest.mark.parametrize("client", ["kafka", "confluent"])
def test_a_broker_that_is_away_at_the_start_and_restarts_later_loses_and_repeats_nothing(
    client: str, make_kafka_field: MakeKafkaField, hurt_broker: KafkaBroker
) -> None:
    field = make_kafka_field(client)
    KafkaAdmin(hurt_broker.bootstrap_servers).create_topic(field.topic, 3)
    field.publish(MESSAGES)
    hurt_broker.kill()
    subscriber = field.subscriber("subscriber")
    field.wait_for(lambda: "trying again" in subscriber.output, "word that the log is away")
    hurt_broker.restart()
    field.wait_until_applied(50)
    hurt_broker.kill()
    hurt_broker.restart()
    field.publish(MESSAGES)
    field.wait_until_applied()
    assert subscriber.is_running
    assert field.judge().holds, field.judge()


@pytest.mark.parametrize("client", ["kafka", "confluent"])
def test_a_topic_and_partitions_that_come_in_mid_run_are_picked_up(
    client: str, make_kafka_field: MakeKafkaField, hurt_broker: KafkaBroker
) -> None:
    admin = KafkaAdmin(hurt_broker.bootstrap_servers)
    field = make_kafka_field(client)
    crew = [field.subscriber(f"subscriber-{number}") for number in range(2)]
    field.wait_for(lambda: "Could not find topic" in crew[0].output, "word that the topic is not there")
    admin.create_topic(field.topic, 1)
    field.publish(MESSAGES)
    field.wait_until_applied()
    admin.create_topic(field.topic, 4)
    field.publish(MESSAGES)
    field.wait_until_applied()
    assert field.judge().holds, field.judge()
    positions = field.query("SELECT partition FROM logpipe_signals_offset WHERE position IS NOT NULL")
    assert len(positions) == 4


def test_positions_in_kafkas_own_groups_lose_nothing_when_a_consumer_dies_and_repeat_nothing_after_a_stop(
    make_kafka_field: MakeKafkaField, hurt_broker: KafkaBroker
) -> None:
    field = make_kafka_field("kafka", OFFSET_BACKEND="logpipe_signals.backend.kafka.KafkaOffsetStore")
    KafkaAdmin(hurt_broker.bootstrap_servers).create_topic(field.topic, 3)
    field.publish(MESSAGES)
    first = field.subscriber("first")
    field.wait_until_applied()
    first.stop()
    field.publish(MESSAGES)
    assert field.subscriber("killed", fault="inside:77").wait(timeout_seconds=60)
    assert not field.judge().repeated
    field.subscriber("successor")
    field.wait_until_applied()
    verdict = field.judge()
    assert not verdict.missing
    assert not verdict.wrong_rows
    assert not field.query("SELECT 1 FROM logpipe_signals_offset")
