"""What Kafka tells of its topics, through librdkafka's admin client."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaException, admin
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]  # its stubs do not say so

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.confluent import errors
from logpipe_signals.backend.confluent.config import admin_config, client_logger, producer_config
from logpipe_signals.backend.facts import TopicFacts, kafkas_facts
from logpipe_signals.exceptions import DeclarationError


def describe(topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
    """
    Return what the brokers say of each of these topics.

    Raises:
        BackendUnavailable: They did not answer in time.
    """
    deadline = Deadline(timeout_seconds)
    config: dict[str, Any] = {**admin_config(), "logger": client_logger}
    try:
        client = admin.AdminClient(config)
    except (KafkaException, ValueError, TypeError) as error:
        # The client's own message could show values, and some of them are passwords.
        raise DeclarationError(f"librdkafka refuses the settings of KAFKA_KWARGS ({type(error).__name__}).") from None
    try:
        metadata = client.list_topics(timeout=deadline.remaining_seconds)
    except KafkaException as error:
        raise errors.unavailable("a first connection; see KAFKA_BOOTSTRAP_SERVERS", error.args[0]) from error
    there = sorted(topic for topic in topics if topic in metadata.topics and metadata.topics[topic].error is None)
    makes = _makes_topics(client, metadata, deadline)
    return {
        topic: _facts(
            topic,
            metadata.topics[topic].partitions if topic in there else {},
            _config(client, ConfigResource.Type.TOPIC, topic, deadline) if topic in there else {},
            makes=makes,
        )
        for topic in sorted(topics)
    }


def _facts(topic: str, partitions: dict[int, Any], values: dict[str, str], *, makes: bool) -> TopicFacts:
    return kafkas_facts(
        values,
        partitions=len(partitions),
        replicas=min((len(each.replicas) for each in partitions.values()), default=0) or None,
        makes_topics=makes,
        topic=topic,
        sent_bytes=int(producer_config(1000)["message.max.bytes"]),
    )


def _makes_topics(client: admin.AdminClient, metadata: Any, deadline: Deadline) -> bool:
    for broker in list(metadata.brokers)[:1]:
        values = _config(client, ConfigResource.Type.BROKER, str(broker), deadline)
        return values.get("auto.create.topics.enable") == "true"
    return False


def _config(client: admin.AdminClient, kind: Any, name: str, deadline: Deadline) -> dict[str, str]:
    """Return a configuration; nothing of one that may not be read."""
    seconds = max(0.1, deadline.remaining_seconds)
    try:
        (future,) = client.describe_configs([ConfigResource(kind, name)], request_timeout=seconds).values()
        return {entry.name: entry.value for entry in future.result(seconds).values() if entry.value is not None}
    except (KafkaException, TimeoutError):
        return {}
