"""From `LOGPIPE` settings to the arguments of kafka-python's clients, and what is wrong with them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import kafka
from django.core.checks import CheckMessage, Error

from logpipe_signals.backend.doors import Door
from logpipe_signals.backend.findings import few_acknowledgements, passed_over
from logpipe_signals.conf import settings

CONNECT_SECONDS = 5.0
"""How long a new client may look for its first broker."""
METADATA_MAX_AGE_MS = 30_000
"""How old a consumer's picture of topics and partitions may be: new partitions are read after this."""
BATCH_BYTES = 131_072

# Closing a connection then discards what the kernel had not sent yet, instead of sending it behind our back.
_RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

_NOT_FOR_CONSUMERS = frozenset({"auto_offset_reset", "enable_auto_commit", "group_id", "consumer_timeout_ms"})
"""What this package decides: positions are its own, and so is the group."""
PASSED_OVER = frozenset({"auto_offset_reset", "enable_auto_commit"})


def producer_config() -> dict[str, Any]:
    """Return the arguments of `KafkaProducer`."""
    return {
        **_connection(),
        "acks": "all",
        "enable_idempotence": True,
        "batch_size": BATCH_BYTES,
        "socket_options": [_NO_DELAY, _RESET_ON_CLOSE],
        **_retries(),
        **_known(settings.KAFKA_KWARGS, producer_names()),
        **settings.KAFKA_PRODUCER_KWARGS,
        **_without_idempotence(),
    }


def consumer_config(group: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `KafkaConsumer`. Positions are given to it, so it has no reset policy of its own."""
    named = {**settings.KAFKA_CONSUMER_KWARGS, **options}
    chosen = {**_known(settings.KAFKA_KWARGS, consumer_names()), **named}
    return {
        **_connection(),
        "allow_auto_create_topics": False,
        "isolation_level": "read_committed",
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        **{name: value for name, value in chosen.items() if name not in _NOT_FOR_CONSUMERS},
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "group_id": group if group is not None else named.get("group_id"),
    }


def admin_config() -> dict[str, Any]:
    """Return the arguments of `KafkaAdminClient`."""
    return {**_connection(), **_known(settings.KAFKA_KWARGS, frozenset(kafka.KafkaAdminClient.DEFAULT_CONFIG))}


def door() -> Door:
    """Return how clients were told to reach the brokers."""
    chosen = {**settings.KAFKA_CONSUMER_KWARGS, **settings.KAFKA_PRODUCER_KWARGS, **settings.KAFKA_KWARGS}
    return Door.of(
        servers=chosen.get("bootstrap_servers", settings.KAFKA_BOOTSTRAP_SERVERS),
        protocol=chosen.get("security_protocol"),
        cafile=chosen.get("ssl_cafile"),
        checks_hostname=bool(chosen.get("ssl_check_hostname", True)),
        mechanism=chosen.get("sasl_mechanism"),
    )


def bounded_connect(client: Any, timeout_seconds: float) -> dict[str, Any]:
    """Return the arguments that bound how long a client's constructor looks for a broker."""
    milliseconds = int(1000 * max(0.5, min(CONNECT_SECONDS, timeout_seconds)))
    names = ("bootstrap_timeout_ms", "api_version_auto_timeout_ms")
    return {name: milliseconds for name in names if name in client.DEFAULT_CONFIG}


def producer_names() -> frozenset[str]:
    """Return the arguments that `KafkaProducer` knows."""
    return frozenset(kafka.KafkaProducer.DEFAULT_CONFIG)


def consumer_names() -> frozenset[str]:
    """Return the arguments that `KafkaConsumer` knows."""
    return frozenset(kafka.KafkaConsumer.DEFAULT_CONFIG)


def _connection() -> dict[str, Any]:
    return {"bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS, "reconnect_backoff_max_ms": 1000}


def _known(values: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _retries() -> dict[str, Any]:
    # django-logpipe's 0 would switch idempotence off; without a number the client tries until the batch's time is up.
    return {"retries": settings.KAFKA_MAX_SEND_RETRIES} if settings.KAFKA_MAX_SEND_RETRIES else {}


def _without_idempotence() -> dict[str, Any]:
    """Let a project that asks for less than idempotence needs have it: kafka-python refuses the contradiction."""
    chosen = {**settings.KAFKA_KWARGS, **settings.KAFKA_PRODUCER_KWARGS}
    weaker = chosen.get("acks", "all") not in ("all", -1) or chosen.get("retries", 1) == 0
    if weaker or chosen.get("max_in_flight_requests_per_connection", 1) > 5:
        return {"enable_idempotence": False}
    return {}


def check_producer() -> list[CheckMessage]:
    """Return what is wrong with the producer's settings."""
    unknown = settings.KAFKA_PRODUCER_KWARGS.keys() - producer_names()
    chosen = {**settings.KAFKA_KWARGS, **settings.KAFKA_PRODUCER_KWARGS}
    weaker = [few_acknowledgements()] if chosen.get("acks", "all") not in ("all", -1) else []
    return [*check_connection(), *_unknown("KAFKA_PRODUCER_KWARGS", unknown, "KafkaProducer"), *weaker]


def check_consumer() -> list[CheckMessage]:
    """Return what is wrong with the consumer's settings."""
    unknown = settings.KAFKA_CONSUMER_KWARGS.keys() - consumer_names()
    ours = [
        passed_over(setting, name)
        for setting in ("KAFKA_KWARGS", "KAFKA_CONSUMER_KWARGS")
        for name in sorted(PASSED_OVER & getattr(settings, setting).keys())
    ]
    return [*check_connection(), *_unknown("KAFKA_CONSUMER_KWARGS", unknown, "KafkaConsumer"), *ours]


def check_connection() -> list[CheckMessage]:
    """Return what is wrong with the settings that every client gets."""
    unknown = settings.KAFKA_KWARGS.keys() - producer_names() - consumer_names()
    found = _unknown("KAFKA_KWARGS", unknown, "KafkaProducer or KafkaConsumer")
    if not settings.KAFKA_BOOTSTRAP_SERVERS and "bootstrap_servers" not in settings.KAFKA_KWARGS:
        found.append(
            Error(
                "LOGPIPE['KAFKA_BOOTSTRAP_SERVERS'] is empty.",
                hint="Name some of the cluster's brokers: ['kafka-1:9092', 'kafka-2:9092'].",
                id="logpipe_signals.E101",
            )
        )
    return found


def _unknown(setting: str, names: Any, client: str) -> list[CheckMessage]:
    return [
        Error(
            f"LOGPIPE[{setting!r}] has {name!r}, which kafka-python {kafka.__version__}'s {client} does not know.",
            hint="Correct the name; confluent-kafka's dotted names belong to backend.confluent.",
            id="logpipe_signals.E102",
        )
        for name in sorted(names)
    ]
