"""What bulk apply does to rows is what applying one by one does."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from logpipe_signals.consuming.loop import Tally
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import consumer_of, names, person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.mark.parametrize("bulk", [False, True])
def test_bulk_keeps_the_columns_that_a_message_leaves_out(bulk: bool):
    put_message(person(1, "a", email="a@example.com"))
    consumer_of(bulk=bulk).run()
    less = person(1, "b")
    del less["email"]
    put_message(less)
    consumer_of(bulk=bulk).run()
    assert list(PersonCopy.objects.values_list("first_name", "email")) == [("b", "a@example.com")]


@pytest.mark.parametrize("bulk", [False, True])
def test_bulk_keeps_what_an_earlier_record_of_the_batch_said(bulk: bool):
    put_message(person(1, "a", email="a@example.com"))
    less = person(1, "b")
    del less["email"]
    put_message(less)
    put_message(person(2, "c"))
    consumer_of(bulk=bulk).run()
    assert list(PersonCopy.objects.order_by("uuid").values_list("first_name", "email")) == [
        ("b", "a@example.com"),
        ("c", ""),
    ]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_unique_value_changes_hands_within_a_batch(bulk: bool):
    class UniqueName(PersonCopySerializer):
        first_name = serializers.CharField(validators=[UniqueValidator(PersonCopy.objects.all(), message="taken")])

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="x", last_name="")
    put_message(person(2, "other"))
    put_message(person(1, "y"))
    put_message(person(2, "x"))
    assert consumer_of(UniqueName, bulk=bulk).run() == Tally(handled=3, applied=3)
    assert names() == ["y", "x"]


@pytest.mark.parametrize("bulk", [False, True])
def test_validate_sees_the_row(bulk: bool):
    class Sees(PersonCopySerializer):
        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            if self.instance is None and attrs["first_name"] == "new":
                raise serializers.ValidationError("there is no row")
            return attrs

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="x", last_name="")
    put_message(person(1, "new"))
    put_message(person(2, "other"))
    assert consumer_of(Sees, bulk=bulk).run() == Tally(handled=2, applied=2)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_serializer_that_changes_its_fields_changes_them_for_its_own_message(bulk: bool):
    class Changes(PersonCopySerializer):
        def to_internal_value(self, data: Any) -> Any:
            if data["first_name"] == "short":
                del self.fields["email"]
            return super().to_internal_value(data)

    put_message(person(1, "short"))
    put_message(person(2, "long", email="a@example.com"))
    consumer_of(Changes, bulk=bulk).run()
    assert list(PersonCopy.objects.order_by("uuid").values_list("email", flat=True)) == ["", "a@example.com"]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_row_that_is_made_again_is_a_new_one(bulk: bool):
    class NoEmail(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            fields = ["uuid", "first_name", "last_name"]
            extra_kwargs = {}

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="old", email="old@example.com")
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    put_message(person(1, "new"))
    assert consumer_of(NoEmail, bulk=bulk).run().applied == 2
    assert list(PersonCopy.objects.values_list("first_name", "email")) == [("new", "")]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_record_does_not_overwrite_the_row_that_has_another_unique_value_of_it(bulk: bool):
    """MariaDB's ON DUPLICATE KEY UPDATE takes whichever unique key conflicts."""

    class WithId(PersonCopySerializer):
        id = serializers.IntegerField()

        class Meta(PersonCopySerializer.Meta):
            fields = ["id", "uuid", "first_name", "last_name"]

    PersonCopy.objects.create(id=7, uuid=person(1)["uuid"], first_name="mine")
    put_message({"id": 7, **person(2, "other")})
    put_message({"id": 8, **person(3, "third")})
    assert consumer_of(WithId, bulk=bulk).run() == Tally(handled=2, applied=1, failed=1)
    assert names() == ["mine", "third"]
