"""From `LOGPIPE` settings, in kafka-python's names, to librdkafka's properties."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import confluent_kafka
from django.core.checks import CheckMessage, Error

from logpipe_signals.backend.doors import Door
from logpipe_signals.backend.findings import few_acknowledgements, passed_over
from logpipe_signals.conf import settings

client_logger = logging.getLogger("logpipe_signals.backend.confluent.client")

METADATA_MAX_AGE_MS = 30_000
LARGEST_REQUEST_BYTES = 1_048_576
"""kafka-python's default, so that the two clients refuse the same messages."""
LINGER_MS = 2

_OTHER_NAMES = {
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_ciphers": "ssl.cipher.suites",
    "request_timeout_ms": "socket.timeout.ms",
    "metadata_max_age_ms": "topic.metadata.refresh.interval.ms",
    "receive_buffer_bytes": "socket.receive.buffer.bytes",
    "send_buffer_bytes": "socket.send.buffer.bytes",
    "receive_message_max_bytes": "receive.message.max.bytes",
    "max_request_size": "message.max.bytes",
    "fetch_max_wait_ms": "fetch.wait.max.ms",
}
"""kafka-python's names whose property is not the same words with dots."""

_PYTHON_ONLY = frozenset(
    {
        "api_version",
        "api_version_auto_timeout_ms",
        "bootstrap_timeout_ms",
        "bootstrap_topics_filter",
        "buffer_memory",
        "consumer_timeout_ms",
        "default_offset_commit_callback",
        "delivery_timeout_ms",
        "exclude_internal_topics",
        "kafka_client",
        "key_deserializer",
        "key_serializer",
        "max_block_ms",
        "max_poll_records",
        "metric_group_prefix",
        "metric_reporters",
        "metrics_enabled",
        "metrics_num_samples",
        "metrics_sample_window_ms",
        "partition_assignment_strategy",
        "partitioner",
        "selector",
        "sock_chunk_buffer_count",
        "sock_chunk_bytes",
        "socket_options",
        "value_deserializer",
        "value_serializer",
    }
)
"""kafka-python's arguments about its own inside, which say nothing to librdkafka."""

_WITHOUT_COUNTERPART = frozenset({"ssl_context", "sasl_oauth_token_provider", "sasl_kerberos_name", "socks5_proxy"})
"""kafka-python's arguments that matter and that librdkafka cannot take."""

_PRODUCER_ONLY = frozenset(
    {
        "acks",
        "batch.num.messages",
        "batch.size",
        "compression.codec",
        "compression.level",
        "compression.type",
        "delivery.timeout.ms",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "linger.ms",
        "max.in.flight.requests.per.connection",
        "message.max.bytes",
        "message.send.max.retries",
        "message.timeout.ms",
        "partitioner",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "request.required.acks",
        "request.timeout.ms",
        "retries",
        "sticky.partitioning.linger.ms",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
_CONSUMER_ONLY = frozenset(
    {
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "isolation.level",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "session.timeout.ms",
    }
)
_OURS = frozenset({"auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store", "group.id"})
"""What this package decides: positions are its own, and so is the group."""
PASSED_OVER = _OURS - {"group.id"}


def producer_config(message_timeout_ms: int) -> dict[str, Any]:
    """Return the properties of a producer that gives each message up after this time."""
    chosen = {
        **_without(translated(settings.KAFKA_KWARGS), _CONSUMER_ONLY),
        **translated(settings.KAFKA_PRODUCER_KWARGS),
    }
    retries = {"retries": settings.KAFKA_MAX_SEND_RETRIES} if settings.KAFKA_MAX_SEND_RETRIES else {}
    return {
        **_connection(),
        "partitioner": "murmur2_random",
        "acks": "all",
        "enable.idempotence": not _asks_for_less(chosen),
        "linger.ms": min(LINGER_MS, message_timeout_ms),
        "message.max.bytes": LARGEST_REQUEST_BYTES,
        **retries,
        **chosen,
        "message.timeout.ms": message_timeout_ms,
    }


def consumer_config(group: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a consumer. Positions are given to it, so it has no reset policy of its own."""
    named = {**translated(settings.KAFKA_CONSUMER_KWARGS), **translated(options)}
    chosen = {**_without(translated(settings.KAFKA_KWARGS), _PRODUCER_ONLY), **named}
    return {
        **_connection(),
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS,
        **_without(chosen, _OURS),
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # librdkafka wants a name even where no group is joined.
        "group.id": group or named.get("group.id") or "logpipe-without-group",
    }


def admin_config() -> dict[str, Any]:
    """Return the properties of a client that asks about topics."""
    return {**_connection(), **_without(translated(settings.KAFKA_KWARGS), _PRODUCER_ONLY | _CONSUMER_ONLY)}


def door() -> Door:
    """Return how clients were told to reach the brokers."""
    chosen = {
        **translated(settings.KAFKA_CONSUMER_KWARGS),
        **translated(settings.KAFKA_PRODUCER_KWARGS),
        **translated(settings.KAFKA_KWARGS),
    }
    return Door.of(
        servers=chosen.get("bootstrap.servers", settings.KAFKA_BOOTSTRAP_SERVERS),
        protocol=chosen.get("security.protocol"),
        cafile=chosen.get("ssl.ca.location"),
        checks_hostname=chosen.get("ssl.endpoint.identification.algorithm", "https") != "none",
        mechanism=chosen.get("sasl.mechanism") or chosen.get("sasl.mechanisms"),
    )


def translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's arguments as librdkafka's properties; dotted names are its own and stay."""
    return dict(_property(name, value) for name, value in values.items() if name not in _PYTHON_ONLY)


def _property(name: str, value: Any) -> tuple[str, Any]:
    if "." in name:
        return name, value
    if name == "ssl_check_hostname":
        return "ssl.endpoint.identification.algorithm", "https" if value else "none"
    if name == "retries" and value == float("inf"):
        value = 2**31 - 1
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return _OTHER_NAMES.get(name, name.replace("_", ".")), value


def _connection() -> dict[str, Any]:
    servers = settings.KAFKA_BOOTSTRAP_SERVERS
    return {
        "bootstrap.servers": servers if isinstance(servers, str) else ",".join(servers),
        "reconnect.backoff.max.ms": 1000,
        "logger": client_logger,
        # Failing connections come through error_cb, and need not be said twice.
        "log_level": 2,
    }


def _without(values: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _asks_for_less(chosen: Mapping[str, Any]) -> bool:
    """Tell whether a project's own settings exclude idempotence: librdkafka refuses the contradiction."""
    weaker = str(chosen.get("acks", "all")) not in ("all", "-1") or chosen.get("retries", 1) == 0
    return weaker or int(chosen.get("max.in.flight.requests.per.connection", 1)) > 5


# --- checks ---------------------------------------------------------------------------------------------------------


def check(setting: str) -> list[CheckMessage]:
    """Return what is wrong with the settings of every client, and with those of this one."""
    found: list[CheckMessage] = []
    for name in ("KAFKA_KWARGS", setting):
        values = getattr(settings, name)
        found += [_no_counterpart(name, each) for each in sorted(_WITHOUT_COUNTERPART & values.keys())]
        found += [
            _unknown(name, each)
            for each in sorted(values)
            if each not in _WITHOUT_COUNTERPART and not _is_known({each: values[each]})
        ]
        found += [passed_over(name, each) for each in sorted(values) if translated({each: 0}).keys() & PASSED_OVER]
    if setting == "KAFKA_PRODUCER_KWARGS" and _acknowledged_by_less():
        found.append(few_acknowledgements())
    if not settings.KAFKA_BOOTSTRAP_SERVERS and "bootstrap.servers" not in translated(settings.KAFKA_KWARGS):
        found.append(
            Error(
                "LOGPIPE['KAFKA_BOOTSTRAP_SERVERS'] is empty.",
                hint="Name some of the cluster's brokers: ['kafka-1:9092', 'kafka-2:9092'].",
                id="logpipe_signals.E101",
            )
        )
    return found


def _acknowledged_by_less() -> bool:
    chosen = {**translated(settings.KAFKA_KWARGS), **translated(settings.KAFKA_PRODUCER_KWARGS)}
    return str(chosen.get("acks", chosen.get("request.required.acks", "all"))) not in ("all", "-1")


def _is_known(values: Mapping[str, Any]) -> bool:
    """Ask librdkafka, which has no list of its properties: a client without a broker's address connects nowhere."""
    properties = translated(values)
    try:
        if properties:
            confluent_kafka.Producer({**properties, "logger": client_logger})
    except confluent_kafka.KafkaException as error:
        return "No such configuration property" not in str(error)
    except (ValueError, TypeError):
        return True
    return True


def _unknown(setting: str, name: str) -> CheckMessage:
    return Error(
        f"LOGPIPE[{setting!r}] has {name!r}, which librdkafka does not know.",
        hint="Correct the name: kafka-python's names and librdkafka's own dotted ones are taken.",
        id="logpipe_signals.E102",
    )


def _no_counterpart(setting: str, name: str) -> CheckMessage:
    return Error(
        f"LOGPIPE[{setting!r}] has {name!r}, a Python object that librdkafka cannot use.",
        hint="Say the same with librdkafka's own properties (ssl.ca.location, sasl.oauthbearer.*, oauth_cb).",
        id="logpipe_signals.E103",
    )
