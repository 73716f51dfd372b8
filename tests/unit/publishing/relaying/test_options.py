"""What is sent: `when=`, `headers=`, and each change as its own message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db.models import Q

from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.models.dead_letters import DeadLetterState
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.publishing.suspend import suspend_publishing
from logpipe_signals.registry import Publication, PublicationOptions, publications
from testproject.people.models import Person
from tests.unit.publishing.relaying.conftest import ScriptedProducer, enqueue

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
PEOPLE = "people.person:people"


@pytest.fixture
def people() -> Iterator[Publication]:
    """Return the publication; its options are put back."""
    publication = publications[PEOPLE]
    before = publication.options
    yield publication
    put_options(publication, before)


def put_options(publication: Publication, options: PublicationOptions) -> None:
    publication.options = options
    publication.__dict__.pop("headers", None)  # worked out once


def with_options(publication: Publication, **options: Any) -> None:
    put_options(publication, replace(publication.options, **options))


def names(log: ScriptedProducer) -> list[str]:
    return [body["message"].get("first_name", body["type"]) for body in log.bodies()]


@pytest.mark.parametrize("when", [Q(last_name="in"), lambda person: person.last_name == "in"], ids=["Q", "callable"])
def test_a_row_outside_the_filter_is_retracted(
    relay: Relay, log: ScriptedProducer, people: Publication, when: Any
) -> None:
    with_options(people, when=when)
    Person.objects.create(first_name="Joe", last_name="in")
    out = Person.objects.create(first_name="Jane", last_name="out")

    relay.drain()

    assert names(log) == ["Joe", "person.deleted"]
    assert log.bodies()[1]["message"] == {"uuid": str(out.uuid)}
    assert log.bodies()[1]["meta"]["operation"] == "retract"


def test_headers_come_from_a_mapping_or_from_the_instance(
    relay: Relay, log: ScriptedProducer, people: Publication
) -> None:
    with_options(people, headers=lambda person: {"tenant": person.last_name})
    Person.objects.create(first_name="Joe", last_name="acme")

    relay.drain()

    assert dict(log.sent[0].headers)["tenant"] == b"acme"


def test_on_a_log_without_headers_they_are_in_the_body(
    relay: Relay, log: ScriptedProducer, people: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedProducer, "supports_headers", False)
    with_options(people, headers={"tenant": "acme"})
    Person.objects.create(first_name="Joe")

    relay.drain()

    assert log.bodies()[0]["meta"]["headers"] == {"tenant": "acme"}


def test_a_header_provider_that_raises_sets_its_row_aside(
    relay: Relay, log: ScriptedProducer, people: Publication
) -> None:
    def touchy(person: Person) -> dict[str, str]:
        return {"length": str(1 // len(person.last_name))}

    with_options(people, headers=touchy)
    Person.objects.create(first_name="Joe", last_name="")
    Person.objects.create(first_name="Jane", last_name="x")

    relay.drain()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().reason == "ZeroDivisionError"


def test_a_delete_that_capture_could_not_serialise_is_set_aside(relay: Relay, log: ScriptedProducer) -> None:
    joe = Person.objects.create(first_name="Joe")
    OutboxRow.objects.all().delete()
    payload = json.dumps({"!error": "person/1: ValueError: no"}).encode()
    enqueue(joe, PEOPLE, operation=Operation.DELETE, payload=payload)
    with suspend_publishing():
        Person.objects.filter(pk=joe.pk).delete()

    relay.drain()

    assert DeadLetter.objects.get().reason == "NotSerialisable"


# --- payload="change" -------------------------------------------------------------------------------------------------


@pytest.fixture
def changes(people: Publication) -> Publication:
    with_options(people, payload="change")
    return people


def rename(person: Person, *first_names: str) -> None:
    for name in first_names:
        person.first_name = name
        person.save()


@pytest.mark.usefixtures("changes")
def test_each_save_is_its_own_message_in_order(relay: Relay, log: ScriptedProducer) -> None:
    rename(Person.objects.create(first_name="a"), "b", "c")

    relay.drain()

    assert names(log) == ["a", "b", "c"]
    assert not OutboxRow.objects.exists()


@pytest.mark.usefixtures("changes")
def test_a_change_says_that_it_is_one(relay: Relay, log: ScriptedProducer) -> None:
    Person.objects.create(first_name="a")

    relay.drain()

    assert dict(log.sent[0].headers)["logpipe-payload"] == b"change"


@pytest.mark.usefixtures("changes")
def test_a_change_says_what_was_saved_whatever_the_row_is_now(relay: Relay, log: ScriptedProducer) -> None:
    joe = Person.objects.create(first_name="then")
    with suspend_publishing():
        Person.objects.filter(pk=joe.pk).delete()

    relay.drain()

    assert names(log) == ["then"]


@pytest.mark.usefixtures("changes")
def test_the_next_change_waits_for_the_acknowledgement_of_the_one_before(relay: Relay, log: ScriptedProducer) -> None:
    rename(Person.objects.create(first_name="a"), "b")
    log.refuse = lambda message: BackendUnavailable("later") if b'"a"' in (message.value or b"") else None
    Person.objects.create(first_name="another")

    relay.drain()

    assert names(log) == ["another"], "b must not overtake a"
    assert OutboxRow.objects.count() == 2


@pytest.mark.usefixtures("changes")
def test_changes_of_other_rows_overtake_a_row_with_a_long_backlog(relay: Relay, log: ScriptedProducer) -> None:
    busy = Person.objects.create(first_name="busy")
    rename(busy, *[str(n) for n in range(30)])
    Person.objects.create(first_name="calm")

    relay.relay_batch(limit=5)
    relay.settle_all()

    assert names(log) == ["busy", "calm"]


@pytest.mark.usefixtures("changes")
def test_a_change_that_can_never_be_sent_parks_the_rest_of_its_row(relay: Relay, log: ScriptedProducer) -> None:
    def too_large(message: Message) -> Exception | None:
        return MessageRejected("too large") if b'"b"' in (message.value or b"") else None

    log.refuse = too_large
    rename(Person.objects.create(first_name="a"), "b", "c", "d")
    Person.objects.create(first_name="another")

    relay.drain()

    assert names(log) == ["a", "another"]
    letters = DeadLetter.objects.order_by("pk")
    assert [letter.state for letter in letters] == [
        DeadLetterState.OPEN,
        DeadLetterState.PARKED,
        DeadLetterState.PARKED,
    ]
    assert not OutboxRow.objects.exists()


@pytest.mark.usefixtures("changes")
def test_a_later_change_supersedes_nothing(relay: Relay, log: ScriptedProducer) -> None:
    log.refuse = lambda message: MessageRejected("no")
    joe = Person.objects.create(first_name="a")
    relay.drain()
    log.refuse = lambda message: None
    rename(joe, "b")

    relay.drain()

    assert DeadLetter.objects.filter(state=DeadLetterState.OPEN).count() == 1
    assert names(log) == []
