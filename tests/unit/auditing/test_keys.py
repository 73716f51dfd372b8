"""Keys that mean the same, keys that a subscriber writes in its own way, and several rows with one key."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from logpipe_signals.backend import dummy
from logpipe_signals.publishing.audits.repairing import Finding, repair
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.unit.auditing.conftest import Sides, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)


class ByName(PersonSerializer):
    KEY_FIELD = "first_name"

    class Meta:
        model = Person
        fields = ["first_name", "last_name"]


class CopyByName(PersonCopySerializer):
    KEY_FIELD = "first_name"

    class Meta:
        model = PersonCopy
        fields = ["first_name", "last_name"]

    def create(self, validated_data: Any) -> Any:
        return PersonCopy.objects.create(uuid=uuid.uuid4(), **validated_data)

    @classmethod
    def lookup_instance(cls, first_name: str, **kwargs: Any) -> PersonCopy | None:
        return PersonCopy.objects.filter(first_name=first_name).first()


class InSmallLetters(CopyByName):
    AUDIT_FIELDS = ["last_name"]

    def validate_first_name(self, value: str) -> str:
        return value.lower()

    @classmethod
    def lookup_instance(cls, first_name: str, **kwargs: Any) -> PersonCopy | None:
        return PersonCopy.objects.filter(first_name=first_name.lower()).first()


class OfTenant(PersonSerializer):
    @classmethod
    def lookup_instance(cls, uuid: str, first_name: str) -> None:
        """Only its arguments count on this side."""


class CopyOfTenant(PersonCopySerializer):
    @classmethod
    def lookup_instance(cls, uuid: str, first_name: str, **kwargs: Any) -> PersonCopy | None:
        return PersonCopy.objects.filter(uuid=uuid, first_name=first_name).first()


Pair = Callable[[Any, Any], None]


@pytest.fixture
def others(another_topic: Any, subscribed: Any) -> Pair:
    """Return a function that publishes and subscribes people on a topic of their own."""

    def pair(serializer: Any, copy: Any) -> None:
        another_topic(serializer)
        subscribed(copy, topic="others")

    return pair


def test_rows_whose_keys_mean_the_same_number_are_both_compared(sides: Sides, copies: Any, others: Pair) -> None:
    others(ByName, CopyByName)
    first = Person.objects.create(first_name="1.1", last_name="A")
    Person.objects.create(first_name="1.10", last_name="B")
    sides.sync()
    assert sides.audit("others").verdict == "clean"
    copies.filter(first_name="1.1").update(last_name="X")
    assert found(sides.audit("others")) == {("different", str(first.pk), ("last_name",))}


def test_a_row_whose_key_the_subscriber_writes_in_its_own_way_is_not_extra(sides: Sides, others: Pair) -> None:
    others(ByName, InSmallLetters)
    Person.objects.create(first_name="Joe", last_name="A")
    sides.sync()
    assert found(sides.audit("others")) == set()


def test_of_several_rows_with_one_key_the_one_that_a_lookup_finds_is_compared(
    sides: Sides, copies: Any, others: Pair
) -> None:
    others(ByName, CopyByName)
    Person.objects.create(first_name="Joe", last_name="A")
    sides.sync()
    copies.create(uuid=uuid.uuid4(), first_name="Joe", last_name="B")
    assert found(sides.audit("others")) == set()


def test_a_second_repair_does_not_make_the_first_one_stale(
    sides: Sides, copies: Any, others: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    others(OfTenant, CopyOfTenant)
    partition_of = dummy.layout_of(3).partition_of
    late, early = (
        next(key for key in iter(uuid.uuid4, None) if partition_of(str(key)) == wanted) for wanted in ("0", "1")
    )
    for key in (late, early):
        copies.create(uuid=key, first_name="G", last_name="H")
        extra = Finding(kind="extra", key=str(key), lookup={"uuid": str(key), "first_name": "G"})
        repair(sides.target("others"), [extra])
        sides.relay()
    whole = dummy._log.topics["others"]
    with monkeypatch.context() as ahead:
        ahead.setitem(dummy._log.topics, "others", [[], *whole[1:]])
        sides.consume()
    sides.consume()
    assert copies.count() == 0
