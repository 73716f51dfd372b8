"""Every deleted row of a published model leaves what its delete message needs, cascades included."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.utils import NestedObjects
from django.db import transaction
from django.db.models import ProtectedError
from django.db.models.signals import pre_delete
from django.test import Client

from logpipe_signals import echo
from logpipe_signals.publishing import outbox
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.unit.publishing.outbox_rows import captured, forget, last, payload_of, topics
from tests.zoo.models import (
    Animal,
    Broken,
    Cage,
    Dog,
    Keeper,
    Passport,
    Pet,
    Puppy,
    Seat,
    TextKeyed,
    UuidKeyed,
    Visit,
)

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]
in_autocommit = pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])


@pytest.fixture
def joe() -> Person:
    person = Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()
    return person


# --- one row ----------------------------------------------------------------------------------------------------------


def test_a_delete_leaves_a_row_with_key_and_lookup_fields(joe: Person) -> None:
    pk = joe.pk
    joe.delete()
    row = last("people")
    assert (row.operation, row.object_id, row.key) == ("delete", str(pk), str(joe.uuid))
    assert payload_of(row) == {"person/1": {"uuid": str(joe.uuid)}}
    assert row.lane == outbox.lane_of("people", str(joe.uuid), outbox.lane_count("default"))


def test_every_version_has_its_member_and_ignore_leaves_none() -> None:
    visit = Visit.objects.create(guest="Joe")
    pk = visit.pk
    forget()
    visit.delete()
    assert topics() == ["visits"]
    assert payload_of(last("visits")) == {"visit/1": {"id": pk}, "visit/2": {"id": pk}}


def test_a_composite_key_leaves_its_parts() -> None:
    show = TextKeyed.objects.create(word="Carmen")
    seat = Seat.objects.create(show=show, number=3)
    forget()
    seat.delete()
    assert payload_of(last("seats")) == {"seat/1": {"show": "Carmen", "number": 3}}
    assert last("seats").key == '["Carmen", "3"]'


def test_what_a_stale_instance_does_not_know_is_read_from_the_database(joe: Person) -> None:
    stored = joe.uuid
    joe.uuid = "00000000-0000-0000-0000-000000000000"
    joe.delete()
    assert last("people").key == str(stored)


def test_an_instance_without_a_row_leaves_none(joe: Person) -> None:
    twin = Person.objects.get()
    joe.delete()
    forget()
    twin.delete()
    assert captured() == []


def test_a_queryset_leaves_a_row_for_each(joe: Person) -> None:
    Person.objects.create(first_name="Jane", last_name="Schmoe")
    forget()
    Person.objects.all().delete()
    assert topics() == ["people", "people"]


@pytest.mark.urls("tests.zoo.urls")
def test_an_admin_action_leaves_a_row_for_each(joe: Person, admin_client: Client) -> None:
    answer = admin_client.post(
        "/admin/people/person/", {"action": "delete_selected", "_selected_action": [joe.pk], "post": "yes"}
    )
    assert answer.status_code == 302
    assert topics() == ["people"]


def test_looking_at_what_a_delete_would_take_leaves_none(joe: Person) -> None:
    NestedObjects(using="default").collect([joe])
    assert captured() == []


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_child_goes_with_its_parent_and_a_parent_with_its_child() -> None:
    dog = Dog.objects.create(code="rex")
    pk = str(dog.pk)
    forget()
    dog.delete()
    assert sorted(captured()) == [("animals", "delete", pk), ("dogs", "delete", pk)]
    puppy = Puppy.objects.create(code="pup")
    pk = str(puppy.pk)
    forget()
    Animal.objects.get().delete()
    assert sorted(captured()) == [("animals", "delete", pk), ("dogs", "delete", pk)]


def test_a_kept_parent_leaves_none() -> None:
    dog = Dog.objects.create(code="rex")
    forget()
    dog.delete(keep_parents=True)
    assert topics() == ["dogs"]


def test_a_proxy_goes_as_its_model() -> None:
    Pet.objects.create(code="cat")
    forget()
    Pet.objects.all().delete()
    assert topics() == ["animals"]


# --- cascades ---------------------------------------------------------------------------------------------------------


def test_what_a_cascade_takes_leaves_rows() -> None:
    owner = UuidKeyed.objects.create()
    Passport.objects.create(owner=owner)
    keeper = Keeper.objects.create()
    Dog.objects.create(code="rex", keeper=keeper)
    forget()
    owner.delete()
    keeper.delete()
    assert topics() == ["animals", "dogs", "keepers", "passports", "uuids"]


def test_a_cascade_in_the_test_project_leaves_its_keys() -> None:
    country = Country.objects.create(code="CH", name="Schweiz")
    City.objects.create(geoname_id=1, name="Zürich", country=country, latitude=47, longitude=8)
    forget()
    Country.objects.all().delete()
    assert (last("countries").key, last("cities").key) == ("CH", "1")


def test_a_foreign_key_that_is_set_null_publishes_the_row_that_pointed() -> None:
    cage = Cage.objects.create(name="A")
    animal = Animal.objects.create(code="tiger", cage=cage)
    dog = Dog.objects.create(code="rex", cage=cage)
    forget()
    cage.delete()
    assert sorted(captured()) == sorted(
        [
            ("animals", "upsert", str(animal.pk)),
            ("animals", "upsert", str(dog.pk)),
            ("dogs", "upsert", str(dog.pk)),
        ]
    )


def test_a_delete_that_is_refused_leaves_none(joe: Person) -> None:
    def refuse(**_: Any) -> None:
        raise ProtectedError("no", set())

    pre_delete.connect(refuse, sender=Person)
    try:
        with pytest.raises(ProtectedError), transaction.atomic():
            joe.delete()
    finally:
        pre_delete.disconnect(refuse, sender=Person)
    assert captured() == []


# --- transactions and statements --------------------------------------------------------------------------------------


@in_autocommit
def test_what_is_rolled_back_leaves_none(joe: Person) -> None:
    with transaction.atomic():
        joe.delete()
        transaction.set_rollback(True)
    assert (Person.objects.count(), captured()) == (1, [])


@in_autocommit
def test_in_autocommit_the_delete_and_its_row_are_one_transaction(joe: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("killed between the two")

    monkeypatch.setattr(outbox, "_insert", fail)
    with pytest.raises(RuntimeError, match="killed"):
        joe.delete()
    assert Person.objects.exists()


def test_delete_inside_atomic_costs_a_locked_read_and_one_statement(
    joe: Person, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(3) as seen:
        joe.delete()
    assert [query["sql"].split()[0] for query in seen.captured_queries] == ["SELECT", "DELETE", "INSERT"]


def test_delete_of_a_row_that_goes_by_its_primary_key_costs_one_statement(django_assert_num_queries: Any) -> None:
    visit = Visit.objects.create(guest="Joe")
    with django_assert_num_queries(2):
        visit.delete()


def test_a_queryset_costs_one_locked_read_and_one_statement_for_all(django_assert_num_queries: Any) -> None:
    for number in range(20):
        Person.objects.create(first_name=str(number), last_name="Schmoe")
    with django_assert_num_queries(4):
        Person.objects.all().delete()


# --- echo, failures ---------------------------------------------------------------------------------------------------


def test_what_came_from_a_topic_does_not_go_back_to_it(joe: Person) -> None:
    with echo.applying("people", Person):
        joe.delete()
    assert captured() == []


def test_a_serializer_that_raises_leaves_the_reason() -> None:
    broken = Broken.objects.create(name="Joe")
    broken.delete()
    row = last("broken")
    assert (row.operation, row.key) == ("delete", "")
    assert payload_of(row) == {"!error": "broken/1: ValueError: Joe has no label"}
