"""Which rows and fields are compared: as the publication and the subscriber's serializer say."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Q, QuerySet
from rest_framework import serializers

from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.models import Audit
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.unit.auditing.conftest import Sides, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)


class Shifty(PersonCopySerializer):
    """Changes what it is sent."""

    def validate_last_name(self, value: str) -> str:
        return value.upper()


def test_audit_fields_leave_out_what_the_serializer_changes(
    sides: Sides, people: list[Person], subscribed: Any
) -> None:
    class Chosen(Shifty):
        AUDIT_FIELDS = ["uuid", "first_name", "email"]

    subscribed(Shifty)
    for person in people:
        person.save()
    sides.sync()
    assert {fields for _, _, fields in found(sides.audit())} == {("last_name",)}
    subscribed(Chosen)
    assert sides.audit().verdict == "clean"


def test_a_field_that_the_subscriber_only_shows_or_does_not_have_is_not_compared(
    sides: Sides, people: list[Person], copies: Any, subscribed: Any
) -> None:
    class Narrow(PersonCopySerializer):
        class Meta:
            model = PersonCopy
            fields = ["uuid", "first_name", "last_name"]
            read_only_fields = ["last_name"]

    subscribed(Narrow)
    copies.update(last_name="other", email="other@ex.org")
    assert sides.audit().verdict == "clean"


def test_fields_that_audit_fields_names_have_to_exist(sides: Sides, people: list[Person], subscribed: Any) -> None:
    class Wrong(PersonCopySerializer):
        AUDIT_FIELDS = ["surname"]

    subscribed(Wrong)
    report = sides.audit()
    assert report.verdict == "incomplete"
    assert any("surname" in problem for problem in report.problems)


def test_rows_from_elsewhere_are_not_extra_where_audit_queryset_leaves_them_out(
    sides: Sides, people: list[Person], copies: Any, subscribed: Any
) -> None:
    class Ours(PersonCopySerializer):
        @classmethod
        def audit_queryset(cls) -> QuerySet[PersonCopy]:
            return PersonCopy.objects.exclude(last_name="Local")

    copies.create(uuid="00000000-0000-4000-8000-000000000001", first_name="L", last_name="Local")
    assert [kind for kind, _, _ in found(sides.audit())] == ["extra"]
    subscribed(Ours)
    assert sides.audit().verdict == "clean"


def test_rows_that_only_lookup_instance_finds_are_compared(sides: Sides, people: list[Person], subscribed: Any) -> None:
    class ByName(PersonCopySerializer):
        @classmethod
        def lookup_instance(cls, uuid: str, **kwargs: Any) -> PersonCopy | None:
            return PersonCopy.objects.filter(uuid=uuid).first()

        @classmethod
        def audit_queryset(cls) -> QuerySet[PersonCopy]:
            return PersonCopy.objects.none()

    subscribed(ByName)
    assert sides.audit().verdict == "clean"


def test_a_subscription_without_audits_passes_marks_over(sides: Sides, people: list[Person], subscribed: Any) -> None:
    subscribed(PersonCopySerializer, audit=False)
    sides.start()
    sides.consume()
    assert not Audit.objects.using("subscriber").exists()


def test_a_consumer_by_hand_passes_marks_over(sides: Sides, people: list[Person]) -> None:
    sides.start()
    consumer = Consumer("people", consumer_timeout_ms=50)
    consumer.register(PersonCopySerializer)
    assert list(consumer) == []


def test_a_version_that_the_subscriber_does_not_read_is_passed_over(
    sides: Sides, people: list[Person], subscribed: Any
) -> None:
    class Second(PersonCopySerializer):
        VERSION = 2

    subscribed(Second)
    sides.start()
    sides.consume()
    assert not Audit.objects.using("subscriber").exists()


def test_rows_that_when_leaves_out_should_not_be_there(
    sides: Sides, another_topic: Any, subscribed: Any, copies: Any
) -> None:
    subscribed(PersonCopySerializer, topic="others")
    another_topic(when=Q(first_name="In"))
    kept = Person.objects.create(first_name="In", last_name="A")
    left = Person.objects.create(first_name="Out", last_name="B")
    sides.sync()
    assert set(copies.values_list("uuid", flat=True)) == {kept.uuid}
    assert sides.audit("others").verdict == "clean"
    copies.create(uuid=left.uuid, first_name="Out", last_name="B")
    assert [kind for kind, _, _ in found(sides.audit("others"))] == ["extra"]


def test_extra_rows_are_not_sought_where_deletes_are_not_published(
    sides: Sides, another_topic: Any, subscribed: Any, copies: Any
) -> None:
    subscribed(PersonCopySerializer, topic="others")
    another_topic(delete="ignore")
    person = Person.objects.create(first_name="In", last_name="A")
    sides.sync()
    person.delete()
    sides.sync()
    assert copies.count() == 1
    assert sides.audit("others").verdict == "clean"


def test_changes_as_messages_are_audited_too(sides: Sides, another_topic: Any, subscribed: Any, copies: Any) -> None:
    subscribed(PersonCopySerializer, topic="others")
    another_topic(payload="change")
    person = Person.objects.create(first_name="In", last_name="A")
    sides.sync()
    assert sides.audit("others").verdict == "clean"
    copies.update(last_name="X")
    assert found(sides.audit("others")) == {("different", str(person.pk), ("last_name",))}


def test_a_row_that_does_not_serialise_is_counted_and_neither_missing_nor_extra(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = PersonSerializer.to_representation

    def broken(self: serializers.Serializer, instance: Any) -> Any:
        if instance.pk == people[0].pk:
            raise ValueError("no")
        return shown(self, instance)

    monkeypatch.setattr(PersonSerializer, "to_representation", broken)
    sent = sides.start()
    sides.consume()
    assert sent.unreadable == 1
    assert sides.report(sent).verdict == "clean"


@pytest.mark.usefixtures("changing")
def test_without_the_guard_a_row_that_changes_during_the_audit_is_no_drift(sides: Sides, subscribed: Any) -> None:
    subscribed(PersonCopySerializer, guard=False)
    report = sides.audit()
    assert (report.verdict, found(report), report.unsettled) == ("clean", set(), 1)
