"""What Kafka tells of its topics, through kafka-python's admin client."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import kafka
import kafka.errors
from kafka.admin import ConfigResource, ConfigResourceType

from logpipe_signals.backend.bounded import within
from logpipe_signals.backend.facts import TopicFacts, kafkas_facts
from logpipe_signals.backend.kafka import errors
from logpipe_signals.backend.kafka.config import admin_config, bounded_connect, producer_config
from logpipe_signals.exceptions import DeclarationError


def describe(topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
    """
    Return what the brokers say of each of these topics.

    Raises:
        BackendUnavailable: They did not answer in time.
    """
    return within(timeout_seconds, lambda: _asked(sorted(topics), timeout_seconds), "what its topics are like")


def _asked(topics: list[str], timeout_seconds: float) -> dict[str, TopicFacts]:
    client = _client(timeout_seconds / 2)
    try:
        found = {each["topic"]: each["partitions"] for each in _described(client, topics)}
        configs = _configs(client, ConfigResourceType.TOPIC, list(found))
        makes = _makes_topics(client)
        return {topic: _facts(topic, found.get(topic, []), configs.get(topic, {}), makes=makes) for topic in topics}
    except errors.FAILURES as error:
        raise errors.unavailable("what its topics are like", error) from error
    finally:
        client.close()


def _client(timeout_seconds: float) -> Any:
    config = admin_config()
    try:
        return kafka.KafkaAdminClient(**{**bounded_connect(kafka.KafkaAdminClient, timeout_seconds), **config})
    except kafka.errors.KafkaConfigurationError as error:
        # The client's own message would show values, and some of them are passwords.
        raise DeclarationError(f"kafka-python refuses the settings of KAFKA_KWARGS ({type(error).__name__}).") from None
    except errors.FAILURES as error:
        raise errors.unavailable("a first connection; see KAFKA_BOOTSTRAP_SERVERS", error) from error


def _described(client: Any, topics: list[str]) -> list[dict[str, Any]]:
    """Ask for the names first: asking for a topic makes brokers make it, where they may."""
    there = sorted(set(client.list_topics()) & set(topics))
    described = client.describe_topics(there) if there else []
    return [{"topic": each.get("topic") or each["name"], "partitions": each["partitions"]} for each in described]


def _facts(topic: str, partitions: list[Any], values: dict[str, str], *, makes: bool) -> TopicFacts:
    copies = [len(each.get("replicas") or each.get("replica_nodes") or ()) for each in partitions]
    return kafkas_facts(
        values,
        partitions=len(partitions),
        replicas=min(copies, default=0) or None,
        makes_topics=makes,
        topic=topic,
        sent_bytes=int(
            producer_config().get("max_request_size", kafka.KafkaProducer.DEFAULT_CONFIG["max_request_size"])
        ),
    )


def _makes_topics(client: Any) -> bool:
    brokers = client.describe_cluster()["brokers"][:1]
    nodes = [str(each["broker_id"] if "broker_id" in each else each["node_id"]) for each in brokers]
    found = _configs(client, ConfigResourceType.BROKER, nodes)
    return any(values.get("auto.create.topics.enable") == "true" for values in found.values())


def _configs(client: Any, kind: Any, names: list[str]) -> dict[str, dict[str, str]]:
    """Return the configuration of each; of those that may not be read, nothing."""
    if not names:
        return {}
    resources = [ConfigResource(kind, name) for name in names]
    all_values = {"config_filter": "all"} if int(kafka.__version__.split(".")[0]) >= 3 else {}
    try:
        answer = client.describe_configs(resources, **all_values)
    except (kafka.errors.TopicAuthorizationFailedError, kafka.errors.ClusterAuthorizationFailedError):
        return {}
    return dict(_by_name(answer))


def _by_name(answer: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """kafka-python 3 answers with dicts, 2 with the protocol's responses."""
    if isinstance(answer, dict):
        for resources in answer.values():
            for name, values in resources.items():
                yield name, {key: _value(value) for key, value in values.items()}
        return
    for response in answer:
        for _code, _text, _kind, name, entries in response.resources:
            yield name, {entry[0]: entry[1] for entry in entries}


def _value(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else getattr(value, "value", value)
