"""A failure holds back its own row: whatever of the project raises, and wherever, the rest of the batch leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db.models import CharField

from logpipe_signals.exceptions import MessageRejected
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.models.dead_letters import DeadLetterState
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import outcomes
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.registry import Publication, publications
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db
PEOPLE = "people.person:people"


@pytest.fixture
def people() -> Iterator[Publication]:
    """Return the publication; its options are put back."""
    publication = publications[PEOPLE]
    before = publication.options
    yield publication
    publication.options = before


@pytest.fixture
def good_and_bad() -> tuple[Person, Person]:
    return Person.objects.create(first_name="Jane"), Person.objects.create(first_name="bad")


def names(log: ScriptedProducer) -> list[str]:
    return [body["message"]["first_name"] for body in log.bodies()]


def refuse_bad(value: str) -> str:
    if value == "bad":
        raise RuntimeError("this one cannot be read")
    return value


def test_a_filter_that_raises_for_one_row_sets_that_row_aside(
    relay: Relay, log: ScriptedProducer, people: Publication, good_and_bad: object
) -> None:
    people.options = replace(people.options, when=lambda person: bool(refuse_bad(person.first_name)))

    relay.drain()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().reason == "RuntimeError"
    assert not OutboxRow.objects.exists()


def test_a_row_whose_value_cannot_be_read_from_the_database_is_set_aside(
    relay: Relay, log: ScriptedProducer, good_and_bad: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CharField, "from_db_value", lambda self, value, *_: refuse_bad(value), raising=False)

    relay.drain()
    monkeypatch.undo()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().reason == "RuntimeError"


def test_a_serializer_that_leaves_out_the_key_of_one_row_sets_that_row_aside(
    relay: Relay, log: ScriptedProducer, good_and_bad: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PersonSerializer.to_representation

    def forgetful(self: PersonSerializer, instance: Person) -> Any:
        data = plain(self, instance)
        if instance.first_name == "bad":
            del data["uuid"]
        return data

    monkeypatch.setattr(PersonSerializer, "to_representation", forgetful)

    relay.drain()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().reason == "KeyError"


def test_an_old_key_is_taken_back_though_the_new_state_cannot_be_serialised(
    relay: Relay, log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    joe = Person.objects.create(first_name="Joe")
    relay.drain()
    old_key, joe.uuid = joe.uuid, uuid4()
    joe.save()
    log.sent.clear()
    monkeypatch.setattr(PersonSerializer, "to_representation", lambda self, instance: refuse_bad("bad"))

    relay.drain()

    assert [(m.key, body["type"]) for m, body in zip(log.sent, log.bodies(), strict=True)] == [
        (str(old_key), "person.deleted")
    ]
    assert DeadLetter.objects.get().operation == Operation.UPSERT
    assert not OutboxRow.objects.exists()


def test_a_retraction_has_a_letter_of_its_own_where_nothing_can_be_told_of_the_row(
    relay: Relay, log: ScriptedProducer, people: Publication
) -> None:
    joe = Person.objects.create(first_name="Joe")
    relay.drain()
    joe.uuid, joe.first_name = uuid4(), "bad"
    joe.save()
    people.options = replace(people.options, when=lambda person: bool(refuse_bad(person.first_name)))
    relay.drain()
    joe.first_name = "Joe"
    joe.save()
    relay.drain()

    states = dict(DeadLetter.objects.values_list("operation", "state"))
    assert states == {
        str(Operation.UPSERT): DeadLetterState.SUPERSEDED,
        str(Operation.RETRACT): DeadLetterState.OPEN,
    }


def test_a_publication_whose_relations_cannot_be_prefetched_holds_back_no_other_publication(
    relay: Relay, log: ScriptedProducer, people: Publication
) -> None:
    from tests.zoo.models import TextKeyed

    people.options = replace(people.options, prefetch_related=("nobody",))
    Person.objects.create(first_name="Joe")
    TextKeyed.objects.create(word="A")

    relay.drain()

    assert {message.topic for message in log.sent} == {"texts"}
    assert DeadLetter.objects.get().reason == "AttributeError"


def test_a_serializer_whose_database_is_away_is_tried_again_and_set_aside_at_last(
    relay: Relay, log: ScriptedProducer, good_and_bad: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PersonSerializer.to_representation

    def lost(self: PersonSerializer, instance: Person) -> Any:
        if instance.first_name == "bad":
            raise OperationalError("the database of its relation was restarted")
        return plain(self, instance)

    monkeypatch.setattr(PersonSerializer, "to_representation", lost)

    relay.drain()

    assert names(log) == ["Jane"]
    assert not DeadLetter.objects.exists()
    assert OutboxRow.objects.get().attempts == 1

    OutboxRow.objects.update(attempts=outcomes.MOST_DATABASE_TRIES, retry_at=None)
    relay.claims.look_at_everything()
    relay.drain()

    assert DeadLetter.objects.get().reason == "OperationalError"


@pytest.mark.parametrize("text", ["a NUL \x00 here", "half a pair \ud800 here"], ids=["nul", "surrogate"])
def test_an_error_that_no_database_stores_is_set_aside_all_the_same(
    relay: Relay, log: ScriptedProducer, people: Publication, good_and_bad: object, text: str
) -> None:
    def refuse(person: Person) -> bool:
        if person.first_name == "bad":
            raise ValueError(text)
        return True

    people.options = replace(people.options, when=refuse)

    relay.drain()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().error.endswith(" here")


def test_an_error_with_a_long_name_is_set_aside_all_the_same(
    relay: Relay, log: ScriptedProducer, people: Publication, good_and_bad: object
) -> None:
    long_error = type("E" * 80, (Exception,), {})

    def refuse(person: Person) -> bool:
        if person.first_name == "bad":
            raise long_error
        return True

    people.options = replace(people.options, when=refuse)

    relay.drain()

    assert names(log) == ["Jane"]
    assert DeadLetter.objects.get().reason == "E" * 64


def test_a_retraction_that_was_set_aside_is_not_superseded_by_the_row_under_its_new_key(
    relay: Relay, log: ScriptedProducer
) -> None:
    joe = Person.objects.create(first_name="Joe")
    relay.drain()
    old_key = str(joe.uuid)
    log.refuse = lambda message: MessageRejected("not this one") if message.key == old_key else None
    joe.uuid = uuid4()
    joe.save()
    relay.drain()
    joe.save()
    relay.drain()

    assert DeadLetter.objects.get().state == DeadLetterState.OPEN, "nobody told the log that the old key is gone"
