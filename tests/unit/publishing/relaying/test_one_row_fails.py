"""A failure holds back its own row: whatever of the project raises, and wherever, the rest of the batch leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db.models import CharField

from logpipe_signals.models import DeadLetter, OutboxRow
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
