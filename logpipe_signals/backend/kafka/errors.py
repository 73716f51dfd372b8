"""What kafka-python's errors mean: never, not now, or no such topic."""

from __future__ import annotations

import ssl
from typing import TypeVar

import kafka.errors

from logpipe_signals.backend.doors import PLAIN, advice
from logpipe_signals.backend.kafka.config import door
from logpipe_signals.exceptions import BackendUnavailable, LogPipeError, MessageRejected, MissingTopicError

Caused = TypeVar("Caused", bound=LogPipeError)

_NEVER = (
    kafka.errors.MessageSizeTooLargeError,
    kafka.errors.RecordListTooLargeError,
    kafka.errors.InvalidTopicError,
    kafka.errors.InvalidRecordError,
    kafka.errors.InvalidTimestampError,
    kafka.errors.UnsupportedForMessageFormatError,
    # What the client's own argument checks raise, before anything is sent.
    ValueError,
    TypeError,
    AssertionError,
)


_UNREACHED = (
    *(
        getattr(kafka.errors, name)
        for name in ("KafkaTimeoutError", "KafkaConnectionError", "NoBrokersAvailable", "SaslAuthenticationFailedError")
        if hasattr(kafka.errors, name)
    ),
    ssl.SSLError,
)
"""What kafka-python 2 and 3 say where they got no answer from any broker, whatever the reason."""


FAILURES = (kafka.errors.KafkaError, ssl.SSLError)
"""What kafka-python raises when a broker fails it: 2.3 lets a certificate's failure through as it is."""


class InBadCompany(BackendUnavailable):
    """Kafka refused a record batch for one of its messages."""


def is_permanent(error: BaseException) -> bool:
    """Tell whether the log will never take the message."""
    return isinstance(error, _NEVER) and not isinstance(error, ssl.SSLError)


def refuses_settings(error: BaseException) -> bool:
    """Tell whether a client's constructor refused its arguments; a bad certificate is a ValueError, but no refusal."""
    refusals = (kafka.errors.KafkaConfigurationError, ValueError, AssertionError, TypeError)
    return isinstance(error, refusals) and not isinstance(error, ssl.SSLError)


def may_be_anothers_fault(error: BaseException) -> bool:
    """
    Tell whether a broker's refusal need not be about this message.

    Brokers refuse whole record batches, what follows in the client's queue then has a wrong sequence number, and
    kafka-python 3 fails all of it with the first refusal's error.
    """
    return is_permanent(error) or isinstance(error, kafka.errors.OutOfOrderSequenceNumberError)


def rejected(topic: str, error: BaseException) -> MessageRejected:
    """Return the refusal of one message."""
    return _caused(MessageRejected(f"Kafka refuses a message for topic {topic!r}: {_text(error)}"), error)


def missing_topic(topic: str, error: BaseException | None = None) -> MissingTopicError:
    """Return the absence of a topic."""
    return _caused(
        MissingTopicError(
            f"Topic {topic!r} does not exist on Kafka. Create it, or let brokers create topics "
            "(auto.create.topics.enable)."
        ),
        error,
    )


def unavailable(doing: str, error: BaseException) -> BackendUnavailable:
    """Return that Kafka did not do something now."""
    text = f"Kafka could not be reached for {doing}: {_text(error)}"
    if isinstance(error, _UNREACHED):
        text = f"{text.removesuffix('.')}.{advice(door())}" if door().protocol != PLAIN else text
    return _caused(BackendUnavailable(text), error)


def in_bad_company(topic: str, error: BaseException) -> InBadCompany:
    """Return that a message was refused together with others, and may be good by itself."""
    return _caused(InBadCompany(f"Kafka refused a record batch for topic {topic!r}: {_text(error)}"), error)


def outcome_of(topic: str, error: BaseException) -> LogPipeError:
    """Return what an error says about one message."""
    if is_permanent(error):
        return rejected(topic, error)
    if isinstance(error, kafka.errors.UnknownTopicOrPartitionError):
        return missing_topic(topic, error)
    return unavailable(f"topic {topic!r}", error)


def _text(error: BaseException) -> str:
    name = type(error).__name__
    text = str(error)
    return text if name in text else f"{name}: {text}"


def _caused(error: Caused, cause: BaseException | None) -> Caused:
    error.__cause__ = cause
    return error
