"""Streams: making one, and what one was configured for."""

from __future__ import annotations

import time

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.backend.kinesis.errors import SERVICE_ERRORS, code_of, outcome_of, unavailable
from logpipe_signals.backend.kinesis.limits import RECORD_BYTES

REMEMBER_SECONDS = 300.0
_record_bytes: dict[tuple[int, str], tuple[Deadline, int]] = {}


def create_stream(stream: str, shards: int = 1, *, timeout_seconds: float = 60.0) -> None:
    """
    Make a stream, unless it is there, and wait until it can be used.

    Raises:
        BackendUnavailable: It was not made in time.
    """
    client, deadline = shared_client(), Deadline(timeout_seconds)
    try:
        client.create_stream(StreamName=stream, ShardCount=shards)
    except SERVICE_ERRORS as error:
        if code_of(error) != "ResourceInUseException":
            raise unavailable(f"making stream {stream!r}", error) from error
    while _status_of(stream) != "ACTIVE":
        if deadline.passed:
            raise unavailable(f"making stream {stream!r}", f"it was not active within {timeout_seconds} s")
        time.sleep(0.1)


def record_bytes_of(stream: str) -> int:
    """
    Return the largest record that a stream takes: as it was configured, else the service's default.

    Raises:
        BackendUnavailable, MissingTopicError: Nobody knows now.
    """
    client = shared_client()
    known = _record_bytes.get((id(client), stream))
    if known is not None and not known[0].passed:
        return known[1]
    try:
        summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    except SERVICE_ERRORS as error:
        if code_of(error).startswith("AccessDenied"):
            return RECORD_BYTES
        raise outcome_of(stream, error) from error
    kibibytes = int(summary.get("MaxRecordSizeInKiB") or 0)
    largest = max(RECORD_BYTES, kibibytes * 1024)
    _record_bytes[id(client), stream] = (Deadline(REMEMBER_SECONDS), largest)
    return largest


def _status_of(stream: str) -> str:
    try:
        return str(
            shared_client().describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
        )
    except SERVICE_ERRORS as error:
        if code_of(error) in ("ResourceNotFoundException", "LimitExceededException"):
            return "CREATING"
        raise unavailable(f"the state of stream {stream!r}", error) from error
