"""The whole log, topic by topic, read afterwards and by other means than the package's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import psycopg
from kafka import KafkaConsumer, TopicPartition

from tests.scenarios.checker import Entry, canonical

TOPIC = "people"
TOPICS = (TOPIC, "accounts", "books", "meters")
READ_SECONDS = 60


class Log(Protocol):
    """A log that relays write to."""

    name: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What processes need in order to write to it."""

    def begin(self) -> None:
        """What stands on it by now belongs to another scenario."""

    def read(self, topic: str = TOPIC) -> list[Entry]:
        """Return every message since, each partition in order."""


class DatabaseLog:
    """The embedded log, beside the rows."""

    name = "database"

    def __init__(self, url: str) -> None:
        self._url = url
        self.environment = {"LOGPIPE_BACKEND": "database"}

    def begin(self) -> None:
        """Each scenario has a database of its own."""

    def read(self, topic: str = TOPIC) -> list[Entry]:
        """Return every message."""
        with psycopg.connect(self._url) as connection:
            found = connection.execute(
                """SELECT part.number, record."offset", record.key, record.value, record.headers
                FROM logpipe_signals_logrecord record JOIN logpipe_signals_logpartition part
                ON part.id = record.partition_id WHERE part.topic = %s ORDER BY part.number, record."offset" """,
                [topic],
            ).fetchall()
        return [entry(str(p), offset, key, value, dict(headers)) for p, offset, key, value, headers in found]


class KafkaLog:
    """
    A Kafka topic.

    Args:
        bootstrap_servers: For us, straight.
        through: For the relays, perhaps through a proxy.
        client: The relays' backend.
    """

    def __init__(
        self, bootstrap_servers: str, *, through: str | None = None, client: Literal["kafka", "confluent"] = "kafka"
    ) -> None:
        self.name = client
        self._servers = bootstrap_servers.split(",")
        self._begin: dict[Any, int] = {}
        self.environment = {"LOGPIPE_BACKEND": client, "KAFKA_BOOTSTRAP_SERVERS": through or bootstrap_servers}

    def begin(self) -> None:
        """Remember where it ends now."""
        consumer = self._consumer()
        try:
            self._begin = consumer.end_offsets([p for topic in TOPICS for p in self._partitions(consumer, topic)])
        finally:
            consumer.close()

    def read(self, topic: str = TOPIC) -> list[Entry]:
        """Return every message since."""
        consumer = self._consumer()
        try:
            return sorted(self._records(consumer, topic), key=lambda entry: (entry.partition, entry.offset))
        finally:
            consumer.close()

    def _records(self, consumer: KafkaConsumer, topic: str) -> Iterable[Entry]:
        partitions = self._partitions(consumer, topic)
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, self._begin.get(partition, 0))
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=1000).values():
                for r in records:
                    headers = {name: value.decode() for name, value in r.headers}
                    yield entry(str(r.partition), r.offset, r.key, r.value, headers)

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )

    def _partitions(self, consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def entry(partition: str, offset: int, key: bytes, value: bytes | None, headers: Mapping[str, str]) -> Entry:
    """Return a message as the checker takes it; what makes no sense there stands out as it is."""
    body: dict[str, Any] = json.loads(bytes(value).partition(b":")[2]) if value is not None else {"type": ".deleted"}
    gone = str(body["type"]).endswith(".deleted")
    return Entry(
        partition=partition,
        offset=offset,
        key=bytes(key).decode(),
        row=headers["logpipe-identity"],
        sequence=int(headers["logpipe-sequence"]),
        operation=headers["logpipe-operation"],
        state=None if gone else canonical(body["message"]),
    )
