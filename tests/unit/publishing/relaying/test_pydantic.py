"""Pydantic models where a publication, or a producer, takes a serializer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import pydantic
import pytest

from logpipe_signals import PydanticProducer
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.registry import Publication, publications, publishes
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
JOE = uuid.UUID(int=7)


class PersonModel(pydantic.BaseModel):
    MESSAGE_TYPE: ClassVar[str] = "human"
    VERSION: ClassVar[int] = 1
    KEY_FIELD: ClassVar[str] = "uuid"

    uuid: uuid.UUID
    first_name: str = pydantic.Field(max_length=5)

    @classmethod
    def lookup_instance(cls, uuid: Any, **kwargs: Any) -> None: ...


class LoudModel(PersonModel):
    """Shows its key otherwise than the row has it."""

    KEY_FIELD: ClassVar[str] = "first_name"

    @pydantic.field_validator("first_name")
    @classmethod
    def _loud(cls, value: str) -> str:
        return value.upper()


class CityModel(pydantic.BaseModel):
    name: str


class CountryModel(pydantic.BaseModel):
    MESSAGE_TYPE: ClassVar[str] = "country"
    VERSION: ClassVar[int] = 7

    code: str
    cities: list[CityModel]


@pytest.fixture
def declared() -> Iterator[list[Publication]]:
    """Return a list; the publications that a test puts there are taken back."""
    found: list[Publication] = []
    yield found
    for publication in found:
        publications.forget(publication)


def publish(declared: list[Publication], topic: str, model: Any, of: Any) -> Publication:
    publishes(topic, model)(of)
    publication = next(each for each in publications.for_model(of) if each.topic == topic)
    declared.append(publication)
    return publication


def sent(log: ScriptedProducer, topic: str) -> list[Any]:
    return [body for body, message in zip(log.bodies(), log.sent, strict=True) if message.topic == topic]


def test_a_row_is_sent_as_the_model_dumps_it(relay: Relay, log: ScriptedProducer, declared: list[Publication]) -> None:
    publish(declared, "humans", PersonModel, Person)
    joe = Person.objects.create(uuid=JOE, first_name="Joe", last_name="Schmoe")
    relay.drain()
    joe.delete()
    relay.drain()

    upsert, deleted = sent(log, "humans")
    assert upsert == {"type": "human", "version": 1, "message": {"uuid": str(JOE), "first_name": "Joe"}}
    assert (deleted["type"], deleted["message"]) == ("human.deleted", {"uuid": str(JOE)})
    assert {message.key for message in log.sent} == {str(JOE)}


def test_a_plain_key_is_told_in_sql_and_one_that_the_model_changes_is_asked_of_it(declared: list[Publication]) -> None:
    plain = publish(declared, "humans", PersonModel, Person)
    loud = publish(declared, "loud", LoudModel, Person)
    assert plain.key_column is Person._meta.get_field("uuid")
    assert loud.key_column is None

    Person.objects.create(uuid=JOE, first_name="Joe")
    assert OutboxRow.objects.get(publication=loud.name).key == "JOE"


def test_relations_to_many_are_lists(relay: Relay, log: ScriptedProducer, declared: list[Publication]) -> None:
    publish(declared, "lands", CountryModel, Country)
    country = Country.objects.create(code="DE", name="Germany")
    City.objects.create(name="Berlin", country=country, geoname_id=1, latitude=52.5, longitude=13.4)
    country.save()
    relay.drain()

    assert sent(log, "lands")[-1]["message"] == {"code": "DE", "cities": [{"name": "Berlin"}]}


def test_a_row_that_the_model_refuses_is_set_aside(
    relay: Relay, log: ScriptedProducer, declared: list[Publication]
) -> None:
    publish(declared, "humans", PersonModel, Person)
    Person.objects.create(first_name="too long for it")
    relay.drain()

    assert sent(log, "humans") == []
    assert DeadLetter.objects.get().topic == "humans"


def test_a_producer_sends_a_model_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ScriptedProducer()
    monkeypatch.setattr("logpipe_signals.publishing.producer.get_producer_backend", lambda: log)
    PydanticProducer("by-hand").send(PersonModel(uuid=JOE, first_name="Joe"))

    (message,) = log.sent
    expected = f'json:{{"type":"human","version":1,"message":{{"uuid":"{JOE}","first_name":"Joe"}}}}'
    assert (message.topic, message.key, message.value) == ("by-hand", str(JOE), expected.encode())


def test_a_producer_says_what_a_model_lacks() -> None:
    with pytest.raises(DeclarationError, match="CityModel has no MESSAGE_TYPE"):
        PydanticProducer("by-hand").send(CityModel(name="Berlin"))
