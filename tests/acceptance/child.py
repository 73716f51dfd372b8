"""
What the tests let other processes do: `python -m tests.acceptance.child COMMAND ARGUMENT...`

Each command prints its answer as JSON. LOGPIPE_KILL_AT arms a kill point first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import django
from django.core.management import call_command

WAIT_SECONDS = 60.0


def save(uuid: str, first_name: str) -> None:
    """Save a person in autocommit mode, as a view would."""
    from testproject.people.models import Person

    Person.objects.update_or_create(uuid=uuid, defaults={"first_name": first_name, "last_name": "Schmoe"})


def save_many(count: str) -> None:
    """Save, rename and delete: every third person goes again."""
    from testproject.people.models import Person

    for number in range(int(count)):
        person = Person.objects.create(first_name="new", last_name=f"number {number}")
        person.first_name = f"p{number}"
        person.save()
        if number % 3 == 0:
            person.delete()


def save_in_bulk(count: str) -> None:
    """Write people that nobody publishes yet."""
    from logpipe_signals.publishing.suspend import suspend_publishing
    from testproject.people.models import Person

    with suspend_publishing():
        Person.objects.bulk_create([Person(first_name=f"p{number}", last_name="x") for number in range(int(count))])


def relay() -> None:
    """Send what is pending, as `manage.py run_relay --drain` does."""
    call_command("run_relay", drain=True, stdout=sys.stderr)


def restart(uuid: str) -> dict[str, Any]:
    """
    Do what a restarted application does: send what is pending. Then tell how a person stands.

    Returns:
        stored: The first names at the publisher: one, or none.
        sent: The messages of the person's key on the topic, as text, in order.
        pending: How many rows wait in the outbox.
    """
    from logpipe_signals.models import OutboxRow
    from testproject.demo import wire
    from testproject.people.models import Person

    relay()
    records = wire.read("people", {}, limit=100_000)
    return {
        "stored": list(Person.objects.filter(uuid=uuid).values_list("first_name", flat=True)),
        "sent": [(record.value or b"").decode() for record in records if record.key_text == uuid],
        "pending": OutboxRow.objects.count(),
    }


def begin_here(group: str) -> None:
    """Let a consumer group begin behind what other tests left on the topic."""
    from testproject.demo import wire

    wire.begin_at(wire.ends(["people"]), group)


def compare_until_equal() -> list[str]:
    """Wait until both sides have the same people, and return the differences that are left when that takes too long."""
    from testproject.demo.compare import compare

    deadline = time.monotonic() + WAIT_SECONDS
    while (differences := compare()[0].differences) and time.monotonic() < deadline:
        time.sleep(0.2)
    return list(differences)


def add_a_column_of_tomorrow() -> None:
    """Migrate the outbox as a next release of the package may: by what an older one need not know."""
    from django.db import connection

    from logpipe_signals.models import OutboxRow

    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {OutboxRow._meta.db_table} ADD COLUMN tomorrow integer NULL")


def pending() -> list[str]:
    """Return the publications that have rows in the outbox."""
    from logpipe_signals.models import OutboxRow

    return sorted(set(OutboxRow.objects.values_list("publication", flat=True)))


def first_names(topic: str) -> list[str]:
    """Return the first names on a topic, in order."""
    from testproject.demo import wire

    records = wire.read(topic, {}, limit=100_000)
    bodies = [json.loads((record.value or b"").partition(b":")[2]) for record in records]
    return [body["message"]["first_name"] for body in bodies if "first_name" in body["message"]]


def await_people(*uuids: str) -> list[list[str]]:
    """Wait until all of these people are here, and return their keys and names."""
    from testproject.people.models import Person

    people = Person.objects.filter(uuid__in=uuids)
    _wait_until(lambda: people.count() == len(uuids))
    return sorted([str(person.uuid), person.first_name] for person in people)


def await_name(uuid: str, first_name: str) -> bool:
    """Wait until a person has this name here, and tell whether that came."""
    from testproject.people.models import Person

    return _wait_until(Person.objects.filter(uuid=uuid, first_name=first_name).exists)


def sent_about(*uuids: str) -> list[str]:
    """Return the first names that the topic carries for these people."""
    from testproject.demo import wire

    records = [record for record in wire.read("people", {}, limit=100_000) if record.key_text in uuids]
    return [json.loads((record.value or b"").partition(b":")[2])["message"]["first_name"] for record in records]


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (came := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return came


COMMANDS = {
    command.__name__: command
    for command in (
        save,
        save_many,
        save_in_bulk,
        relay,
        restart,
        begin_here,
        compare_until_equal,
        add_a_column_of_tomorrow,
        pending,
        first_names,
        await_people,
        await_name,
        sent_about,
    )
}


def main(name: str, *arguments: str) -> None:
    django.setup()
    from tests.acceptance.killpoints import VARIABLE, KillPoints

    with ExitStack() as stack:
        if point := os.environ.get(VARIABLE):
            KillPoints(point).install(stack)
        answer: Any = COMMANDS[name](*arguments)  # type: ignore[operator]
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
