"""Many rows are represented as the project's serializer represents them, whatever of it is the project's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from rest_framework import serializers

from logpipe_signals.publishing.representing import representing
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.zoo.models import Animal, Cage, Pet


class Shouting(serializers.CharField):
    def get_attribute(self, instance: Any) -> Any:
        return f"{instance.first_name}!"


class Hidden(serializers.CharField):
    def get_attribute(self, instance: Any) -> Any:
        raise serializers.SkipField


class EveryKindOfField(PersonSerializer):
    own_way = Shouting()
    other_name = serializers.CharField(source="last_name")
    method = serializers.SerializerMethodField()
    skipped = Hidden()
    absent = serializers.CharField(default="unknown")
    called = serializers.CharField(source="__str__")
    secret = serializers.CharField(write_only=True)

    class Meta(PersonSerializer.Meta):
        fields = [
            *PersonSerializer.Meta.fields,
            *["own_way", "other_name", "method", "skipped", "absent", "called", "secret"],
        ]

    def get_method(self, person: Person) -> str:
        return f"one of {len(self.parent.instance or [])}"  # type: ignore[union-attr]


class OwnWords(PersonSerializer):
    def to_representation(self, instance: Any) -> Any:
        return {**super().to_representation(instance), "own": True}


class OwnFields(PersonSerializer):
    @property
    def _readable_fields(self) -> Any:
        return [self.fields["email"]]


class OwnListOfPeople(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return [{"listed": person.first_name} for person in data]


class Listed(PersonSerializer):
    class Meta(PersonSerializer.Meta):
        list_serializer_class = OwnListOfPeople


class AnimalSerializer(serializers.ModelSerializer[Animal]):
    class Meta:
        model = Animal
        fields = ["code", "cage", "cage_id", "keeper"]


def people() -> list[Person]:
    some = [Person(id=n, uuid=uuid4(), first_name=f"Joe {n}", last_name="Doe") for n in range(3)]
    some[1].email = None  # type: ignore[assignment]
    return some


def animals() -> list[Animal]:
    return [Animal(code="a", cage=Cage(pk=3, name="North")), Animal(code="b")]


@pytest.mark.parametrize(
    ("serializer_class", "rows"),
    [
        (PersonSerializer, people),
        (EveryKindOfField, people),
        (OwnWords, people),
        (OwnFields, people),
        (Listed, people),
        (AnimalSerializer, animals),
    ],
)
def test_rows_are_represented_as_the_serializer_does_it(
    serializer_class: type[Any], rows: Callable[[], list[Any]]
) -> None:
    some = rows()

    assert representing(serializer_class, some)(some) == serializer_class(some, many=True).data


def test_a_column_with_a_descriptor_of_its_own_is_read_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Person, "first_name", property(lambda person: "read through it"))
    some = people_without_first_name()

    assert representing(PersonSerializer, some)(some)[0]["first_name"] == "read through it"


def people_without_first_name() -> list[Person]:
    person = Person.__new__(Person)
    person.__dict__.update({"id": 1, "uuid": uuid4(), "first_name": "stored", "last_name": "", "email": None})
    return [person]


@pytest.mark.django_db
def test_a_column_that_was_not_loaded_is_asked_for() -> None:
    Person.objects.create(first_name="Joe")
    some = list(Person.objects.defer("first_name"))

    assert representing(PersonSerializer, some)(some)[0]["first_name"] == "Joe"


def test_rows_of_several_classes_are_each_represented() -> None:
    some = [Animal(code="a"), Pet(code="b")]

    assert [data["code"] for data in representing(AnimalSerializer, some)(some)] == ["a", "b"]
