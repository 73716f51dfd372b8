"""What real logs tell of their topics, for `check --deploy`."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest

from logpipe_signals.exceptions import BackendUnavailable
from tests.conftest import ChangeSettings

SECONDS = 30.0


@pytest.fixture(params=["kafka", "confluent"])
def client(request: pytest.FixtureRequest, kafka_broker: str, logpipe_settings: ChangeSettings) -> Any:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=kafka_broker)
    return import_module(f"logpipe_signals.backend.{request.param}")


def made(broker: str, **config: str) -> str:
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    topic = f"described-{uuid4().hex}"
    client = AdminClient({"bootstrap.servers": broker})
    wanted = NewTopic(topic, num_partitions=2, replication_factor=1, config=config)
    client.create_topics([wanted])[topic].result(SECONDS)
    return topic


@pytest.mark.kafka
def test_kafka_tells_what_a_topic_is_configured_for(client: Any, kafka_broker: str) -> None:
    topic = made(
        kafka_broker, **{"cleanup.policy": "compact,delete", "retention.ms": "3600000", "max.message.bytes": "5000"}
    )
    for side in (client.Producer, client.Consumer):
        facts = side.describe([topic], timeout_seconds=SECONDS)[topic]
        assert (facts.partitions, facts.replicas, facts.least_in_sync) == (2, 1, 1)
        assert (facts.compacts, facts.deletes, facts.retention_seconds) == (True, True, 3600.0)
        assert (facts.largest_bytes, facts.sent_bytes) == (5000, 1_048_576)


@pytest.mark.kafka
def test_asking_kafka_about_a_topic_does_not_make_it(client: Any) -> None:
    topic = f"absent-{uuid4().hex}"
    for _ in range(2):
        facts = client.Producer.describe([topic], timeout_seconds=SECONDS)[topic]
        assert facts.partitions == 0
        assert facts.makes_topics
        assert f"--create --topic {topic} " in facts.creation


@pytest.mark.kinesis
def test_kinesis_tells_how_long_a_stream_keeps_records(kinesis_endpoint: str, logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.backend.kinesis import Producer
    from logpipe_signals.backend.kinesis.streams import create_stream

    logpipe_settings(KINESIS_ENDPOINT_URL=kinesis_endpoint)
    stream = f"described-{uuid4().hex}"
    create_stream(stream)
    told = Producer.describe([stream, "absent"], timeout_seconds=SECONDS)
    assert (told[stream].partitions, told[stream].retention_seconds) == (1, 86400.0)
    assert told["absent"].partitions == 0
    assert "aws kinesis create-stream --stream-name absent " in told["absent"].creation


@pytest.mark.parametrize("name", ["kafka", "confluent"])
def test_brokers_that_are_away_are_said_to_be(logpipe_settings: ChangeSettings, name: str) -> None:
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    with pytest.raises(BackendUnavailable, match="Kafka could not be reached for a first connection"):
        import_module(f"logpipe_signals.backend.{name}").Producer.describe(["people"], timeout_seconds=2.0)
