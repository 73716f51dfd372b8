"""What the tests of jobs share: people, a relay that the test itself runs, and the log it sends to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from logpipe_signals.backend.base import Subscription
from logpipe_signals.backend.dummy import Consumer
from logpipe_signals.models import Backfill
from logpipe_signals.publishing.suspend import suspend_publishing
from logpipe_signals.registry import publications
from testproject.people.models import Person
from tests.conftest import ChangeSettings

PEOPLE = "people.person:people"
MakePeople = Callable[[int], list[Person]]


@pytest.fixture
def make_people() -> MakePeople:
    """Return a function that makes people whom nobody has heard of."""

    def make(count: int) -> list[Person]:
        with suspend_publishing():
            return Person.objects.bulk_create([Person(first_name=f"p{n}", last_name="x") for n in range(count)])

    return make


@pytest.fixture
def in_memory(logpipe_settings: ChangeSettings) -> None:
    """Send to a log in memory, in batches of ten, when the test says so."""
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.dummy.Producer", RELAY="worker", RELAY_BATCH_SIZE=10)


@pytest.fixture
def people_by_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish each save of a person as a message of its own."""
    publication = publications["people.person:people"]
    monkeypatch.setattr(publication, "options", replace(publication.options, payload="change"))


def sent(topic: str) -> list[dict[str, Any]]:
    """Return the bodies on a topic of the log in memory, in the order sent."""
    consumer = Consumer(Subscription(topics=(topic,)))
    records = []
    while found := consumer.poll(max_records=10_000, timeout_seconds=0):
        records += found
    consumer.close()
    records.sort(key=lambda record: int(dict(record.headers)["logpipe-sequence"]))
    return [json.loads((record.value or b"").removeprefix(b"json:")) for record in records]


def names_sent() -> list[str]:
    """Return the first names on the log, in the order sent."""
    return [str(body["message"]["first_name"]) for body in sent("people")]


def stored(job: Backfill) -> Backfill:
    """Return a job as the database has it."""
    return Backfill.objects.using(job.using).get(pk=job.pk)
