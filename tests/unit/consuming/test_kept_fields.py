"""Records that are saved one by one share their serializers' fields, and what is unique is asked for together."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from logpipe_signals import Consumer
from logpipe_signals.consuming.kept_fields import kept_fields
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class AlwaysNew(PersonCopySerializer):
    """Finds nobody, so that only the unique field stands between two rows of one uuid."""

    @classmethod
    def lookup_instance(cls, **kwargs: Any) -> None:
        return None


class OwnFields(PersonCopySerializer):
    """Has a say in its fields."""

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = super().get_fields()
        fields["email"].required = "Schmoe" in self.initial_data["last_name"]
        return fields


class Remembering(PersonCopySerializer):
    """Keeps the serializers that it was, and what they held."""

    seen: list[tuple[Any, str]] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        self.seen.append((self, self.initial_data["first_name"]))
        assert self.fields["uuid"].parent is self
        return attrs


def run(cls: type) -> Any:
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(cls)
    return consumer.run()


def errors() -> list[str]:
    return list(DeadLetter.objects.using("subscriber").values_list("reason", flat=True))


def test_unique_values_are_asked_for_once_a_batch():
    for number in range(10):
        put_message(person(number))
    with CaptureQueriesContext(connections["subscriber"]) as captured:
        run(PersonCopySerializer)
    about_copies = [query["sql"] for query in captured.captured_queries if "mirror_personcopy" in query["sql"]]
    assert len([sql for sql in about_copies if sql.startswith("INSERT")]) == 10
    assert len([sql for sql in about_copies if sql.startswith("SELECT")]) == 10 + 1  # lookup_instance, and one for all


def test_a_unique_value_that_was_taken_before_is_refused():
    put_message(person(1, "first"))
    run(PersonCopySerializer)
    put_message(person(1, "second"))
    put_message(person(2, "other"))
    run(AlwaysNew)
    assert sorted(PersonCopy.objects.values_list("first_name", flat=True)) == ["first", "other"]
    assert errors() == ["ValidationError"]


def test_a_unique_value_that_an_earlier_record_of_the_batch_took_is_refused():
    put_message(person(1, "first"))
    put_message(person(1, "second"))
    run(AlwaysNew)
    assert list(PersonCopy.objects.values_list("first_name", flat=True)) == ["first"]
    assert errors() == ["ValidationError"]


def test_a_row_keeps_its_own_unique_value():
    for name in ("before", "between", "after"):
        put_message(person(1, name))
        put_message(person(2, name))
    run(PersonCopySerializer)
    assert list(PersonCopy.objects.values_list("first_name", flat=True)) == ["after", "after"]
    assert errors() == []


def test_each_record_has_a_serializer_of_its_own():
    Remembering.seen.clear()
    put_message(person(1, "a"))
    put_message(person(2, "b"))
    run(Remembering)
    assert [(serializer.initial_data["first_name"], name) for serializer, name in Remembering.seen] == [
        ("a", "a"),
        ("b", "b"),
    ]


def test_a_class_that_has_a_say_in_its_fields_makes_them_for_each_record():
    without_email = {name: value for name, value in person(1, last_name="Doe").items() if name != "email"}
    put_message(without_email)
    put_message(without_email | {"uuid": person(2)["uuid"], "last_name": "Schmoe"})
    run(OwnFields)
    assert kept_fields(OwnFields) is None
    assert list(PersonCopy.objects.values_list("last_name", flat=True)) == ["Doe"]
    assert errors() == ["ValidationError"]
