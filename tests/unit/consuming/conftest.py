"""A log in memory, and what is put on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from logpipe_signals import Consumer, formats
from logpipe_signals.backend.base import Headers, Message
from logpipe_signals.backend.dummy import Producer, create_topic
from logpipe_signals.envelope import Meta
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer

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


def change(number: int, name: str, sequence: int, **more: Any) -> None:
    """Put a change of a person on the log, which parks behind one that failed."""
    meta = Meta(identity=f"person:{number}", source="a", sequence=sequence, payload="change")
    put_message(person(number, name), meta=meta, **more)


def consumer_of(*classes: Any, **options: Any) -> Consumer:
    """Return a consumer of people; without classes, of the test project's."""
    made = Consumer("people", consumer_timeout_ms=10, **options)
    for cls in classes or (PersonCopySerializer,):
        made.register(cls)
    return made


def names() -> list[str]:
    """Return the copies' first names."""
    return list(PersonCopy.objects.order_by("uuid").values_list("first_name", flat=True))


def letters(*fields: str) -> list[Any]:
    """Return these fields of the dead letters, the oldest first."""
    return list(DeadLetter.objects.using("subscriber").order_by("pk").values_list(*fields, flat=len(fields) == 1))
