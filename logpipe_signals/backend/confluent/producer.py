"""Writing to Kafka through librdkafka."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.core.checks import CheckMessage

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Delivery, Layout, Message
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.confluent import config
from logpipe_signals.backend.confluent.client import current_clients, shared_client
from logpipe_signals.backend.confluent.delivery import ConfluentDelivery
from logpipe_signals.backend.confluent.describing import describe
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.partitioning import layout_of
from logpipe_signals.conf import settings

KAFKAS_RULE = "murmur2_random"


class Producer(base.Producer):
    """Writes to Kafka: pipelined, acknowledged by all in-sync replicas, idempotent unless the settings ask for less."""

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        deadline = Deadline(timeout_seconds)
        client = shared_client(timeout_seconds)
        missing = client.missing_topics({message.topic for message in messages}, deadline)
        delivery = ConfluentDelivery(client, messages, deadline)
        delivery.start(missing)
        return delivery

    def layout(self, topic: str) -> Layout | None:
        timeout_seconds = float(settings.KAFKA_SEND_TIMEOUT)
        client, deadline = shared_client(timeout_seconds), Deadline(timeout_seconds)
        if (error := client.missing_topics({topic}, deadline).get(topic)) is not None:
            raise error
        if config.producer_config(int(1000 * timeout_seconds))["partitioner"] != KAFKAS_RULE:
            return None
        return layout_of(client.partition_count(topic, deadline))

    def flush(self, timeout_seconds: float) -> None:
        deadline = Deadline(timeout_seconds)
        for client in current_clients():
            client.flush(deadline.remaining_seconds)

    def close(self) -> None:
        for client in current_clients():
            client.close()

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        return describe(topics, timeout_seconds=timeout_seconds)

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return config.check("KAFKA_PRODUCER_KWARGS")
