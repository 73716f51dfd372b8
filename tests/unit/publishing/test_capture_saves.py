"""Every committed save of a published model leaves one outbox row a publication, in its own transaction."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, models, transaction
from django.db.models.signals import post_save, pre_save
from django.test import Client
from django.test.utils import CaptureQueriesContext

from logpipe_signals import echo
from logpipe_signals.keys import decode_pk, lane_of
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.publishing import outbox
from logpipe_signals.registry import publications
from testproject.people.models import Person
from tests.unit.publishing.outbox_rows import captured, forget, last, topics
from tests.zoo.models import (
    Animal,
    Broken,
    Carp,
    Dog,
    HeadKeeper,
    Keeper,
    Koi,
    Passport,
    Pet,
    Puppy,
    Seat,
    TextKeyed,
    TicketKeyed,
    UuidKeyed,
    Visit,
)

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]
in_autocommit = pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])


def joe(**changes: Any) -> Person:
    return Person(**{"first_name": "Joe", "last_name": "Schmoe", **changes})


# --- one row ----------------------------------------------------------------------------------------------------------


def test_a_save_leaves_a_row_that_says_which_row_changed() -> None:
    person = joe()
    person.save()
    row = last("people")
    assert (row.publication, row.object_id, row.key) == ("people.person:people", str(person.pk), str(person.uuid))
    assert (row.operation, row.payload, row.priority, row.attempts) == ("upsert", None, 0, 0)
    assert row.lane == lane_of("people", str(person.uuid), Source.objects.get().lanes)
    assert row.created_at is not None


def test_an_unpublished_model_leaves_none() -> None:
    Source.objects.get().save()
    assert captured() == []


def make_with_force_insert() -> None:
    joe().save(force_insert=True)


def update_fields() -> None:
    person = Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()
    person.save(update_fields=["first_name"])


def get_or_create() -> None:
    Person.objects.get_or_create(first_name="Joe", defaults={"last_name": "Schmoe"})


def update_or_create_new() -> None:
    Person.objects.update_or_create(first_name="Joe", defaults={"last_name": "Schmoe"})


def update_or_create_old() -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()
    Person.objects.update_or_create(first_name="Joe", defaults={"last_name": "Bloggs"})


def deferred() -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()
    Person.objects.only("first_name").get().save()


def a_key_given_as_text() -> None:
    joe(uuid=str(uuid.uuid4()).upper()).save()


@pytest.mark.parametrize(
    "write",
    [
        make_with_force_insert,
        update_fields,
        get_or_create,
        update_or_create_new,
        update_or_create_old,
        deferred,
        a_key_given_as_text,
    ],
)
def test_each_way_to_save_leaves_one_row(write: Any) -> None:
    write()
    person = Person.objects.get()
    assert captured() == [("people", "upsert", str(person.pk))]
    assert last("people").key == str(person.uuid)


def test_get_or_create_of_what_is_there_leaves_none() -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()
    Person.objects.get_or_create(first_name="Joe")
    assert captured() == []


@in_autocommit
def test_asave_leaves_one_row() -> None:
    async def save() -> None:
        await joe().asave()
        await sync_to_async(connections.close_all)()  # They are the executor thread's.

    asyncio.run(save())
    assert topics() == ["people"]


def test_a_save_with_no_update_fields_writes_nothing_and_leaves_none() -> None:
    person = joe()
    person.save()
    forget()
    person.save(update_fields=[])
    assert captured() == []


def test_a_fixture_leaves_one_row_an_object(tmp_path: Path) -> None:
    fixture = tmp_path / "people.json"
    fields = {"uuid": str(uuid.uuid4()), "first_name": "Joe", "last_name": "Schmoe"}
    fixture.write_text(json.dumps([{"model": "people.person", "pk": 7, "fields": fields}]))
    call_command("loaddata", fixture, stdout=io.StringIO())
    assert captured() == [("people", "upsert", "7")]
    assert last("people").key == fields["uuid"]


@pytest.mark.urls("tests.zoo.urls")
def test_an_admin_edit_leaves_one_row(admin_client: Client) -> None:
    fields = {"uuid": uuid.uuid4(), "first_name": "Joe", "last_name": "Schmoe"}
    assert admin_client.post("/admin/people/person/add/", fields).status_code == 302
    assert topics() == ["people"]


# --- publications -----------------------------------------------------------------------------------------------------


def test_two_versions_on_one_topic_are_one_publication_and_another_topic_is_another() -> None:
    Visit.objects.create(guest="Joe")
    assert topics() == ["visit_audit", "visits"]


def test_all_publications_of_a_save_leave_in_one_statement(django_assert_num_queries: Any) -> None:
    outbox.lane_count("default")
    with django_assert_num_queries(2):
        Visit(guest="Joe").save()


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_multi_table_child_is_published_as_itself_and_as_its_parent() -> None:
    dog = Dog.objects.create(code="rex", breed="terrier")
    assert sorted(captured()) == [("animals", "upsert", str(dog.pk)), ("dogs", "upsert", str(dog.pk))]
    assert {last("animals").key, last("dogs").key} == {"rex"}


def test_an_unpublished_grandchild_is_published_as_what_it_inherits() -> None:
    Puppy.objects.create(code="rex")
    assert topics() == ["animals", "dogs"]


def test_a_child_saved_with_its_own_fields_only_leaves_its_parent_alone() -> None:
    dog = Dog.objects.create(code="rex")
    forget()
    dog.save(update_fields=["breed"])
    assert topics() == ["dogs"]
    forget()
    dog.save(update_fields=["name"])
    assert topics() == ["animals", "dogs"]


def test_a_parent_saved_directly_is_published_as_the_child_it_is_part_of() -> None:
    dog = Dog.objects.create(code="rex")
    forget()
    animal = Animal.objects.get(pk=dog.pk)
    animal.save()
    assert sorted(captured()) == [("animals", "upsert", str(dog.pk)), ("dogs", "upsert", str(dog.pk))]


def test_a_parent_without_a_child_is_published_alone() -> None:
    animal = Animal.objects.create(code="tiger")
    animal.save()
    assert topics() == ["animals", "animals"]


def test_a_proxy_is_published_as_its_model_and_a_model_as_its_published_proxy() -> None:
    Pet.objects.create(code="cat")
    Keeper.objects.create(name="Joe")
    HeadKeeper.objects.create(name="Jane")
    assert topics() == ["animals", "keepers", "keepers"]


def test_an_abstract_model_publishes_its_children_and_not_theirs() -> None:
    Carp.objects.create(name="Carl")
    assert topics() == ["fish"]
    Koi.objects.create(name="Kim")
    assert topics() == ["fish", "fish"]
    assert last("fish").publication == "zoo.carp:fish"


def test_a_fixture_of_a_child_knows_its_parents_key(tmp_path: Path) -> None:
    dog = {"model": "zoo.dog", "pk": 7, "fields": {"breed": "terrier"}}
    animal = {"model": "zoo.animal", "pk": 7, "fields": {"code": "rex", "name": "Rex", "cage": None, "keeper": None}}
    fixture = tmp_path / "zoo.json"
    for objects in ([animal, dog], [dog, animal]):
        Dog.objects.all().delete()
        forget()
        fixture.write_text(json.dumps(objects))
        call_command("loaddata", fixture, stdout=io.StringIO())
        assert sorted(set(captured())) == [("animals", "upsert", "7"), ("dogs", "upsert", "7")]
        assert last("dogs").key == "rex"


def test_every_primary_key_finds_its_row_again() -> None:
    show = TextKeyed.objects.create(word='a "quoted" / odd\\ wörd, 100% [x]')
    owner = UuidKeyed.objects.create()
    rows: list[models.Model] = [
        show,
        owner,
        TicketKeyed.objects.create(number="T-12"),
        Passport.objects.create(owner=owner),
        Seat.objects.create(show=show, number=3),
    ]
    for row in rows:
        publication = publications.for_model(type(row))[0]
        text = OutboxRow.objects.get(publication=publication.name).object_id
        assert type(row)._default_manager.get(pk=decode_pk(type(row), text)) == row


def test_keys_are_the_serializers_text_on_every_database() -> None:
    owner = UuidKeyed.objects.create()
    Passport.objects.create(owner=owner)
    TicketKeyed.objects.create(number="T-12")
    TicketKeyed.objects.create(number=13)
    keys = list(OutboxRow.objects.order_by("pk").values_list("key", flat=True))
    assert keys == [str(owner.pk), str(owner.pk), "T-12", "T-13"]


# --- transactions -----------------------------------------------------------------------------------------------------


@in_autocommit
def test_in_autocommit_the_save_and_its_row_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("killed between the two")

    monkeypatch.setattr(outbox, "_insert", fail)
    with pytest.raises(RuntimeError, match="killed"):
        joe().save()
    assert not Person.objects.exists()


@in_autocommit
@pytest.mark.parametrize("shape", ["rolled back", "savepoint rolled back"])
def test_what_is_rolled_back_leaves_none(shape: str) -> None:
    with transaction.atomic():
        if shape == "rolled back":
            joe().save()
            transaction.set_rollback(True)
        else:
            with suppress(IntegrityError), transaction.atomic():
                joe().save()
                raise IntegrityError
    assert not Person.objects.exists()
    assert captured() == []


@in_autocommit
def test_a_receiver_that_raises_undoes_a_save_in_autocommit() -> None:
    with raising(post_save), pytest.raises(ArithmeticError):
        joe().save()
    assert (Person.objects.count(), captured()) == (0, [])


@in_autocommit
def test_a_receivers_error_that_is_caught_inside_a_transaction_loses_nothing() -> None:
    with raising(post_save), transaction.atomic(), pytest.raises(ArithmeticError):
        joe().save()
    assert (Person.objects.count(), topics()) == (1, ["people"])


@in_autocommit
def test_a_save_that_never_reached_the_database_leaves_none() -> None:
    with raising(pre_save), transaction.atomic(), pytest.raises(ArithmeticError):
        joe().save()
    assert captured() == []


@in_autocommit
def test_a_change_whose_row_cannot_be_written_cannot_be_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise IntegrityError("no outbox")

    monkeypatch.setattr(outbox, "_insert", fail)
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            joe().save()
        assert connection.needs_rollback
    assert not Person.objects.exists()


@in_autocommit
def test_the_row_is_on_the_alias_of_the_change() -> None:
    Visit(guest="Joe").save(using="subscriber")
    assert (captured("default"), topics("subscriber")) == ([], ["visit_audit", "visits"])


@in_autocommit
def test_transactions_managed_by_hand_take_the_row_with_them() -> None:
    transaction.set_autocommit(False)
    try:
        joe().save()
        transaction.rollback()
        joe().save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert (Person.objects.count(), topics()) == (1, ["people"])


class raising:  # noqa: N801  (reads as a word of the test)
    """Connect a receiver that raises."""

    def __init__(self, signal: Any) -> None:
        self.signal = signal

    def __enter__(self) -> None:
        self.signal.connect(self.receive, sender=Person)

    def __exit__(self, *_: Any) -> None:
        self.signal.disconnect(self.receive, sender=Person)

    def receive(self, **_: Any) -> None:
        raise ArithmeticError("a receiver of the application")


# --- statements -------------------------------------------------------------------------------------------------------


def test_save_inside_atomic_costs_one_statement(django_assert_num_queries: Any) -> None:
    outbox.lane_count("default")
    with django_assert_num_queries(2):
        joe().save()


@in_autocommit
def test_save_in_autocommit_costs_a_transaction_and_one_statement() -> None:
    outbox.lane_count("default")
    with CaptureQueriesContext(connection) as seen:
        joe().save()
    words = [query["sql"].split()[0] for query in seen.captured_queries]
    assert [word for word in words if word != "NOTIFY"] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


@in_autocommit
def test_an_unpublished_save_costs_what_it_cost(django_assert_num_queries: Any) -> None:
    source = Source.objects.get()
    with django_assert_num_queries(1):
        source.save()


# --- echo, failures ---------------------------------------------------------------------------------------------------


def test_what_came_from_a_topic_does_not_go_back_to_it() -> None:
    with echo.applying("people", Person):
        joe().save()
    assert captured() == []


def test_what_came_from_one_topic_goes_to_the_others() -> None:
    with echo.applying("visits", Visit):
        Visit(guest="Joe").save()
        joe().save()
    assert topics() == ["people", "visit_audit"]


def test_a_serializer_that_raises_leaves_a_row_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken.objects.create(name="Joe")
    row = last("broken")
    assert (row.object_id, row.key) == (str(broken.pk), "")
    assert "cannot tell the key" in caplog.text
