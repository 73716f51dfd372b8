"""A publisher process: `python -m tests.scenarios.consuming.publisher FIRST COUNT` sends numbered states of people."""

from __future__ import annotations

import os
import sys

import django

PEOPLE = 50


def uuid_of(number: int) -> str:
    """Return the uuid of the person whom a state is about."""
    return f"00000000-0000-4000-8000-{number % PEOPLE:012d}"


def main() -> None:
    """Send the states from FIRST on, each once."""
    django.setup()
    from logpipe_signals import formats
    from logpipe_signals.backend import get_producer_backend
    from logpipe_signals.backend.base import Message

    first, count = map(int, sys.argv[1:])
    messages = []
    for number in range(first, first + count):
        message = {"uuid": uuid_of(number), "first_name": "x", "last_name": str(number), "email": ""}
        value = formats.render("json", {"type": "person", "version": 1, "message": message})
        messages.append(Message(topic=os.environ["SCENARIO_TOPIC"], key=uuid_of(number), value=value))
    producer = get_producer_backend()
    for start in range(0, count, 200):
        for outcome in producer.submit(messages[start : start + 200], timeout_seconds=30).wait(30):
            if outcome.error is not None:
                raise outcome.error


if __name__ == "__main__":
    main()
