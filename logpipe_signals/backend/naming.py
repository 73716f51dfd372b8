"""Which names a topic may have."""

from __future__ import annotations

import re

from logpipe_signals.exceptions import MessageRejected

LONGEST_TOPIC_NAME = 249
_KAFKA_NAME = re.compile(rf"(?!\.\.?\Z)[A-Za-z0-9._-]{{1,{LONGEST_TOPIC_NAME}}}\Z")


def refusal_of_name(topic: str) -> MessageRejected | None:
    """Return why no log could have a topic of this name."""
    if 0 < len(topic) <= LONGEST_TOPIC_NAME:
        return None
    return MessageRejected(f"Topic {topic!r} is no name: it needs 1 to {LONGEST_TOPIC_NAME} characters.")


def refusal_of_kafka_name(topic: str) -> MessageRejected | None:
    """Return why Kafka could not have a topic of this name."""
    if _KAFKA_NAME.match(topic):
        return None
    return MessageRejected(
        f"Topic {topic!r} is no name for Kafka: it needs 1 to {LONGEST_TOPIC_NAME} letters, digits, dots, "
        "underscores or hyphens."
    )
