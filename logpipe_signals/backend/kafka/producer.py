"""Writing to Kafka through kafka-python."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.core.checks import CheckMessage

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Delivery, Layout, Message
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.kafka import config
from logpipe_signals.backend.kafka.client import current_clients, shared_client
from logpipe_signals.backend.kafka.delivery import KafkaDelivery
from logpipe_signals.backend.kafka.describing import describe
from logpipe_signals.backend.partitioning import layout_of
from logpipe_signals.conf import settings


class Producer(base.Producer):
    """Writes to Kafka: pipelined, acknowledged by all in-sync replicas, idempotent unless the settings ask for less."""

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        deadline = Deadline(timeout_seconds)
        client = shared_client(deadline)
        missing = client.missing_topics({message.topic for message in messages}, deadline)
        delivery = KafkaDelivery(client, deadline)
        client.gate.watch(delivery)
        for message in messages:
            if (error := missing.get(message.topic)) is not None:
                delivery.refuse(message, error)
            else:
                delivery.start(message)
        return delivery

    def layout(self, topic: str) -> Layout | None:
        deadline = Deadline(float(settings.KAFKA_SEND_TIMEOUT))
        client = shared_client(deadline)
        if (error := client.missing_topics({topic}, deadline).get(topic)) is not None:
            raise error
        if "partitioner" in settings.KAFKA_PRODUCER_KWARGS:
            return None
        return layout_of(len(client.producer.partitions_for(topic)))

    supports_fencing = True

    def fenced(self, owner: str) -> base.Producer:
        from logpipe_signals.backend.kafka.fenced import FencedProducer

        return FencedProducer(owner)

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
        return config.check_producer()
