"""What the errors of boto3 mean: never, not now, or no such stream."""

from __future__ import annotations

from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from logpipe_signals.exceptions import BackendUnavailable, LogPipeError, MessageRejected, MissingTopicError

Caused = TypeVar("Caused", bound=LogPipeError)

SERVICE_ERRORS = (ClientError, BotoCoreError)
"""Everything that a call of boto3 raises."""

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "SlowDown",
    }
)
_NEVER = frozenset({"InvalidArgumentException", "ValidationException", "SerializationException", "413"})
_MISSING = frozenset({"ResourceNotFoundException"})
# What does not pass by itself within a batch's time: somebody has to change a right, a key or a credential.
_REFUSED = ("AccessDenied", "UnrecognizedClient", "InvalidSignature", "MissingAuthentication", "ExpiredToken", "KMS")


class TimeIsUp(Exception):
    """A call that came too late; it was not begun."""


def code_of(error: BaseException) -> str:
    """Return the service's name of an error; the class's where the service said nothing."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def is_throttled(code: str) -> bool:
    """Tell whether the service asks for less."""
    return code in _THROTTLED


def is_permanent(error: BaseException) -> bool:
    """Tell whether the same call will never be taken."""
    return code_of(error) in _NEVER


def is_missing(error: BaseException) -> bool:
    """Tell whether the stream, or what was asked for in it, is not there."""
    return code_of(error) in _MISSING


def may_pass(error: BaseException) -> bool:
    """Tell whether the same call may be taken soon."""
    code = code_of(error)
    if is_throttled(code):
        return True
    if isinstance(error, ClientError):
        return not (code in _NEVER | _MISSING or code.startswith(_REFUSED))
    return not isinstance(error, TimeIsUp) and "Credential" not in code


def rejected(topic: str, error: BaseException) -> MessageRejected:
    """Return the refusal of one message."""
    return _caused(MessageRejected(f"Kinesis refuses a message for stream {topic!r}: {error}"), error)


def missing(topic: str, error: BaseException | None = None) -> MissingTopicError:
    """Return the absence of a stream."""
    text = f"Stream {topic!r} does not exist on Kinesis. Create it, or correct its name, KINESIS_REGION or account."
    return _caused(MissingTopicError(text), error)


def unavailable(doing: str, error: BaseException | str) -> BackendUnavailable:
    """Return that Kinesis did not do something now."""
    cause = error if isinstance(error, BaseException) else None
    what = f"{type(error).__name__}: {error}" if isinstance(error, BotoCoreError) else str(error)
    return _caused(BackendUnavailable(f"Kinesis could not be reached for {doing}: {what}"), cause)


def outcome_of(topic: str, error: Any) -> LogPipeError:
    """Return what an error says about one message."""
    if is_permanent(error):
        return rejected(topic, error)
    if is_missing(error):
        return missing(topic, error)
    return unavailable(f"stream {topic!r}", error)


def _caused(error: Caused, cause: BaseException | None) -> Caused:
    error.__cause__ = cause
    return error
