"""A log in memory, and what is put on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from logpipe_signals import formats
from logpipe_signals.backend.base import Headers, Message
from logpipe_signals.backend.dummy import Producer, create_topic
from logpipe_signals.envelope import Meta

BACKEND = "logpipe_signals.backend.dummy"


@pytest.fixture(autouse=True)
def dummy_log(logpipe_settings: Callable[..., None]) -> None:
    """Let producers, consumers and positions use the log in memory."""
    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
    )
    create_topic("people")


def put(value: bytes | None, *, topic: str = "people", key: str | None = "k", headers: Headers = ()) -> None:
    """Put raw bytes on a topic."""
    Producer().submit([Message(topic=topic, key=key, value=value, headers=headers)], timeout_seconds=1).wait(1)


def put_message(
    message: Any, *, kind: str = "person", version: int = 1, meta: Meta | None = None, **place: Any
) -> None:
    """Put a well-formed message on a topic."""
    value = formats.render("json", {"type": kind, "version": version, "message": message})
    put(value, headers=(meta or Meta()).as_headers(), **place)


def person(number: int, first_name: str = "Joe", **members: Any) -> dict[str, Any]:
    """Return a person's message."""
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return {"uuid": uuid, "first_name": first_name, "last_name": "Schmoe", "email": "", **members}
