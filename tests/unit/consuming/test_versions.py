"""Versions and other kinds of serializers: upcasters, Pydantic models."""

from __future__ import annotations

from typing import Any, ClassVar

import pydantic
import pytest

from logpipe_signals import Consumer
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class PersonV2(PersonCopySerializer):
    """One name in place of two, on the wire."""

    VERSION = 2


class PersonModel(pydantic.BaseModel):
    """A Pydantic model in place of a serializer, as django-logpipe 1.6 takes them."""

    MESSAGE_TYPE: ClassVar[str] = "person"
    VERSION: ClassVar[int] = 1
    KEY_FIELD: ClassVar[str] = "uuid"

    uuid: str
    first_name: str = pydantic.Field(max_length=5)
    last_name: str

    @classmethod
    def lookup_instance(cls, uuid: str, **kwargs: Any) -> PersonCopy | None:
        return PersonCopy.objects.filter(uuid=uuid).first()

    def save(self) -> PersonCopy:
        row = self._instance or PersonCopy(uuid=self.uuid)
        row.first_name, row.last_name = self.first_name, self.last_name
        row.save()
        return row


def split_name(message: dict[str, Any]) -> dict[str, Any]:
    first_name, _, last_name = message["name"].partition(" ")
    return {"uuid": message["uuid"], "first_name": first_name, "last_name": last_name}


def run(cls: type, **options: Any) -> None:
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(cls, **options)
    consumer.run()


def test_an_upcaster_takes_an_older_version_to_the_serializers_own():
    put_message({"uuid": person(1)["uuid"], "name": "Joe Schmoe"})
    put_message(person(2, "Jane"), version=2)
    run(PersonV2, upcast={1: split_name})
    assert list(PersonCopy.objects.order_by("uuid").values_list("first_name", "last_name")) == [
        ("Joe", "Schmoe"),
        ("Jane", "Schmoe"),
    ]


def test_an_upcaster_that_fails_makes_a_dead_letter():
    put_message({"uuid": person(1)["uuid"]})
    run(PersonV2, upcast={1: split_name})
    assert DeadLetter.objects.using("subscriber").get().reason == "InvalidMessageError"


def test_a_delete_needs_no_upcaster():
    put_message(person(1), version=2)
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    run(PersonV2, upcast={1: split_name})
    assert not PersonCopy.objects.exists()


def test_a_pydantic_model_creates_updates_and_deletes():
    put_message(person(1, "Joe"))
    put_message(person(1, "Jane"))
    put_message(person(2, "gone"))
    put_message({"uuid": person(2)["uuid"]}, kind="person.deleted")
    run(PersonModel)
    assert PersonCopy.objects.get().first_name == "Jane"


def test_a_message_that_pydantic_refuses_is_a_dead_letter():
    put_message(person(1, "too long for it"))
    run(PersonModel)
    assert DeadLetter.objects.using("subscriber").get().reason == "ValidationError"
