"""One fixture, `log`, parametrised over every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.testing.conformance.log import Log
from tests.conformance.kafka_admin import KafkaAdmin
from tests.kinesis import make_shards

WITHOUT: dict[str, frozenset[str]] = {
    "dummy": frozenset({"retention", "a size limit", "processes"}),
    # No stand-in for Kinesis drops records; the package's own tests do it for them.
    "kinesis": frozenset({"retention", "tombstones", "kafka's partitions"}),
}
"""What a log does not have, so that the promises about it say nothing (`pytest.mark.needs("retention")`)."""
GROUP_TIMES = {"heartbeat_interval_ms": 300, "session_timeout_ms": 6000, "metadata_max_age_ms": 500}


@pytest.fixture(
    params=[
        "dummy",
        "database",
        pytest.param("kafka", marks=pytest.mark.kafka),
        pytest.param("confluent", marks=pytest.mark.kafka),
        pytest.param("kinesis", marks=pytest.mark.kinesis),
    ]
)
def log(request: pytest.FixtureRequest, logpipe_settings: Any) -> Iterator[Log]:
    """Return each log in turn; consumers that a test leaves open are closed."""
    made: Log = MAKERS[request.param](request, logpipe_settings)
    with made.running():
        yield made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    void = [item for item in items if _says_nothing(item)]
    config.hook.pytest_deselected(items=void)
    items[:] = [item for item in items if item not in void]


def _says_nothing(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    name = callspec.params.get("log") if callspec is not None else None
    needs = {need for marker in item.iter_markers("needs") for need in marker.args}
    return bool(needs & WITHOUT.get(str(name), frozenset()))


def make_dummy(request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    from logpipe_signals.backend import dummy

    return Log(
        name="dummy",
        producer_class=dummy.Producer,
        consumer_class=dummy.Consumer,
        create_topic=dummy.create_topic,
    )


def make_database(request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    from logpipe_signals.backend import database
    from logpipe_signals.models import LogRecord

    logpipe_settings(LEASE_SECONDS=1.5, DATABASE_LOG_POLL_SECONDS=0.05)

    def drop_before(partition: TopicPartition, offset: int) -> None:
        number = int(partition.partition)
        LogRecord.objects.filter(partition__topic=partition.topic, partition__number=number, offset__lt=offset).delete()

    return Log(
        name="database",
        producer_class=database.Producer,
        consumer_class=database.Consumer,
        create_topic=database.create_topic,
        drop_before=drop_before,
        too_large_bytes=database.LARGEST_VALUE_BYTES + 1,
    )


def make_kafka(request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    from logpipe_signals.backend import kafka

    return _kafka_log("kafka", kafka, request, logpipe_settings)


def make_confluent(request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    confluent = pytest.importorskip("logpipe_signals.backend.confluent", exc_type=ImportError)
    return _kafka_log("confluent", confluent, request, logpipe_settings)


def _kafka_log(name: str, backend: Any, request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    servers = request.getfixturevalue("kafka_broker")
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=[servers], KAFKA_CONSUMER_KWARGS=GROUP_TIMES)
    admin = KafkaAdmin(servers)
    return Log(
        name=name,
        producer_class=backend.Producer,
        consumer_class=backend.Consumer,
        create_topic=admin.create_topic,
        drop_before=admin.drop_before,
        too_large_bytes=3_000_000,
        misses_topics=True,
    )


def make_kinesis(request: pytest.FixtureRequest, logpipe_settings: Any) -> Log:
    from logpipe_signals.backend import kinesis

    endpoint_url = request.getfixturevalue("kinesis_endpoint")
    logpipe_settings(
        KINESIS_ENDPOINT_URL=endpoint_url,
        KINESIS_REGION="eu-central-1",
        KINESIS_FETCH_LIMIT=1000,
        OFFSET_BACKEND="logpipe_signals.backend.kinesis.ModelOffsetStore",
        LEASE_SECONDS=3,
    )
    return Log(
        name="kinesis",
        producer_class=kinesis.Producer,
        consumer_class=kinesis.Consumer,
        create_topic=make_shards,
        too_large_bytes=1024 * 1024 + 1,
        misses_topics=True,
        partition_name=lambda number: f"shardId-{number:012}",
        foreign_position="70",
    )


MAKERS: dict[str, Callable[[pytest.FixtureRequest, Any], Log]] = {
    "dummy": make_dummy,
    "database": make_database,
    "kafka": make_kafka,
    "confluent": make_confluent,
    "kinesis": make_kinesis,
}
