"""What the service takes: names, keys, records and calls, and what it refuses for good."""

from __future__ import annotations

import hashlib
import re
import uuid

from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import MessageRejected

RECORDS_A_CALL = 500
BYTES_A_CALL = 10 * 1024 * 1024
"""`PutRecords`' own bound since 2025; it was 5 MiB before, and a call that is refused as too large is halved."""
RECORD_BYTES = 1024 * 1024
"""A record with its partition key, unless the stream is configured for more."""
LONGEST_PARTITION_KEY = 256
MOST_RECORDS_A_READ = 10_000
READS_A_SECOND = 5

KEYLESS_PREFIX = "logpipe-keyless-"
"""Begins the random partition keys of messages without a key, so that a reader finds none either."""

_STREAM_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}\Z")


def partition_key_of(key: str | None) -> str:
    """Return a message's partition key: its key; a hash's behind the beginning of a long one; a random one for none."""
    if not key:
        return f"{KEYLESS_PREFIX}{uuid.uuid4().hex}"
    if len(key) <= LONGEST_PARTITION_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: LONGEST_PARTITION_KEY - 1 - len(digest)]}~{digest}"


def key_of(partition_key: str) -> str | None:
    """Return the key of a record that was read."""
    return None if partition_key.startswith(KEYLESS_PREFIX) else partition_key


def size_of(message: Message, partition_key: str) -> int:
    """Return how many bytes a record counts for."""
    return len(message.value or b"") + len(partition_key.encode())


def refusal_of(message: Message) -> MessageRejected | None:
    """Return why the service would never take a message."""
    if not _STREAM_NAME.match(message.topic):
        return MessageRejected(
            f"Topic {message.topic!r} is no name for a Kinesis stream: it needs 1 to 128 letters, digits, dots, "
            "underscores or hyphens."
        )
    if message.value is None:
        return MessageRejected(
            f"Kinesis has no tombstones, and a message for stream {message.topic!r} is one. "
            "Publish deletes with delete='message'."
        )
    return None


def refusal_of_size(message: Message, size: int, record_bytes: int) -> MessageRejected | None:
    """Return why a stream that takes records of so many bytes would not take this one."""
    if size <= record_bytes:
        return None
    return MessageRejected(
        f"A message of {size} bytes for stream {message.topic!r} is too large: it takes {record_bytes} with the key. "
        "Send less in one message, set LOGPIPE['COMPRESSION'], or raise the stream's maximum record size."
    )
