"""What librdkafka's errors mean: never, not now, or no such topic."""

from __future__ import annotations

from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from logpipe_signals.backend.confluent.config import door
from logpipe_signals.backend.doors import PLAIN, advice
from logpipe_signals.exceptions import BackendUnavailable, LogPipeError, MessageRejected, MissingTopicError

Caused = TypeVar("Caused", bound=LogPipeError)

_NEVER = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)
_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


_UNREACHED = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)
"""What librdkafka says where it got no answer from any broker, whatever the reason."""
_ELECTION = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})


def is_election(error: BaseException) -> bool:
    """Tell whether a partition has no leader for the moment: it is new, or its broker went away."""
    found = kafka_error(error)
    return found is not None and found.code() in _ELECTION


def kafka_error(error: BaseException) -> KafkaError | None:
    """Return librdkafka's error inside an exception."""
    return error.args[0] if isinstance(error, KafkaException) else None


def is_permanent(error: KafkaError) -> bool:
    """Tell whether the log will never take the message."""
    return error.code() in _NEVER


def outcome_of(topic: str, error: KafkaError) -> LogPipeError:
    """Return what an error says about one message."""
    if is_permanent(error):
        return _caused(MessageRejected(f"Kafka refuses a message for topic {topic!r}: {_text(error)}"), error)
    if error.code() in _MISSING:
        return missing_topic(topic, error)
    return unavailable(f"topic {topic!r}", error)


def missing_topic(topic: str, error: KafkaError | None = None) -> MissingTopicError:
    """Return the absence of a topic."""
    text = f"Topic {topic!r} does not exist on Kafka. Create it, or let brokers create topics"
    return _caused(MissingTopicError(f"{text} (auto.create.topics.enable)."), error)


def unavailable(doing: str, error: KafkaError) -> BackendUnavailable:
    """Return that Kafka did not do something now."""
    text = f"Kafka could not be reached for {doing}: {_text(error)}"
    if error.code() in _UNREACHED:
        text = f"{text.removesuffix('.')}.{advice(door())}" if door().protocol != PLAIN else text
    return _caused(BackendUnavailable(text), error)


def _text(error: KafkaError) -> str:
    return f"{error.name()}: {error.str()}"


def _caused(error: Caused, cause: KafkaError | None) -> Caused:
    error.__cause__ = None if cause is None else KafkaException(cause)
    return error
