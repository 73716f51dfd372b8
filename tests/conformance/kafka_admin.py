"""Making topics and dropping records on a broker under test."""

from __future__ import annotations

import time
from typing import Any

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.testing.conformance.log import PATIENCE_SECONDS


class KafkaAdmin:
    """Makes topics on a broker; the same for every client under test."""

    def __init__(self, servers: str) -> None:
        from confluent_kafka.admin import AdminClient

        self._client = AdminClient({"bootstrap.servers": servers})

    def create_topic(self, topic: str, partitions: int) -> None:
        from confluent_kafka.admin import NewPartitions, NewTopic

        if topic in self._client.list_topics(timeout=PATIENCE_SECONDS).topics:
            futures = self._client.create_partitions([NewPartitions(topic, partitions)])
        else:
            futures = self._client.create_topics([NewTopic(topic, partitions, 1)])
        _wait_for(futures)
        deadline = Deadline(PATIENCE_SECONDS)
        while not deadline.passed and self._partitions(topic) < partitions:
            time.sleep(0.02)

    def _partitions(self, topic: str) -> int:
        return len(self._client.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions)

    def drop_before(self, partition: TopicPartition, offset: int) -> None:
        from confluent_kafka import TopicPartition as KafkaPartition

        _wait_for(self._client.delete_records([KafkaPartition(partition.topic, int(partition.partition), offset)]))


def _wait_for(futures: Any) -> None:
    for future in futures.values():
        future.result(timeout=PATIENCE_SECONDS)
