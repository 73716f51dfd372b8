"""What changed is asked of the locked row: a new key retracts the old one, `watch=` lets through what it names."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.db.models.signals import pre_save

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import outbox, rekeying
from logpipe_signals.publishing.suspend import suspend_publishing
from logpipe_signals.registry import publications, publishes
from testproject.people.models import Person
from tests.unit.publishing.outbox_rows import captured, forget, last, payload_of, topics
from tests.zoo.models import Animal, Cage, Dog, Keyed, Visit, Watched

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]
OLD, NEW, OTHER = (uuid.UUID(int=number) for number in (1, 2, 3))


@pytest.fixture
def joe() -> Person:
    person = Person.objects.create(first_name="Joe", last_name="Schmoe", uuid=OLD)
    outbox.lane_count("default")
    forget()
    return person


@pytest.fixture(params=["one statement", "a locked read"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a locked read":
        monkeypatch.setattr(rekeying, "serves", lambda own, using: False)


def operations() -> list[tuple[str, str]]:
    return [(str(row.operation), row.key) for row in OutboxRow.objects.order_by("pk")]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_both_ways")
class TestAChangedKey:
    def test_retracts_the_old_one_before_it_publishes_the_new(self, joe: Person) -> None:
        joe.uuid = NEW
        joe.save()
        assert operations() == [("retract", str(OLD)), ("upsert", str(NEW))]
        retraction = OutboxRow.objects.get(operation="retract")
        lanes = outbox.lane_count("default")
        assert payload_of(retraction) == {"person/1": {"uuid": str(OLD)}}
        assert (retraction.object_id, retraction.lane) == (str(joe.pk), outbox.lane_of("people", str(OLD), lanes))
        assert last("people").lane == outbox.lane_of("people", str(NEW), lanes)

    def test_is_one_that_the_database_has_otherwise_whatever_the_instance_remembers(self, joe: Person) -> None:
        stale = Person.objects.get()
        joe.uuid = NEW
        joe.save()
        forget()
        stale.save()
        assert operations() == [("retract", str(NEW)), ("upsert", str(OLD))]

    def test_may_be_given_as_text(self, joe: Person) -> None:
        joe.uuid = str(OLD).upper()  # type: ignore[assignment]
        joe.save()
        assert operations() == [("upsert", str(OLD))]

    def test_is_not_written_by_other_fields(self, joe: Person) -> None:
        joe.uuid = NEW
        joe.save(update_fields=["first_name"])
        assert [operation for operation, _ in operations()] == ["upsert"]

    def test_may_come_from_an_instance_without_a_memory(self, joe: Person) -> None:
        Person(pk=joe.pk, uuid=NEW, first_name="Joe", last_name="Schmoe").save()
        assert operations() == [("retract", str(OLD)), ("upsert", str(NEW))]

    def test_may_be_chosen_by_a_receiver(self, joe: Person) -> None:
        def choose(instance: Person, **_: Any) -> None:
            instance.uuid = NEW

        pre_save.connect(choose, sender=Person)
        try:
            joe.save()
        finally:
            pre_save.disconnect(choose, sender=Person)
        written = operations()
        assert ("retract", str(OLD)) in written
        assert written[-1] == ("upsert", str(NEW))

    def test_that_did_not_change_retracts_nothing(self, joe: Person) -> None:
        joe.first_name = "Jane"
        joe.save()
        assert operations() == [("upsert", str(OLD))]

    def test_of_a_new_row_retracts_nothing(self, joe: Person) -> None:
        Person.objects.create(first_name="Jane", last_name="Schmoe", uuid=NEW)
        Person(pk=joe.pk + 1000, first_name="Jack", last_name="Schmoe", uuid=OTHER).save()
        assert operations() == [("upsert", str(NEW)), ("upsert", str(OTHER))]

    def test_rolled_back_leaves_none(self, joe: Person) -> None:
        joe.uuid = NEW
        with suppress(ArithmeticError), transaction.atomic():
            joe.save()
            raise ArithmeticError
        assert operations() == []

    def test_with_odd_characters_survives_in_the_retraction(self) -> None:
        odd = 'a "b" \\ %s é \u2028'
        keyed = Keyed.objects.create(word=odd, number=1)
        forget()
        keyed.word = "plain"
        keyed.number = 2
        keyed.save()
        by_word = OutboxRow.objects.get(publication="zoo.keyed:keyed_by_word", operation="retract")
        assert payload_of(by_word) == {"keyed/1": {"word": odd}, "keyed/2": {"word": odd}}
        by_number = OutboxRow.objects.get(publication="zoo.keyed:keyed_by_number", operation="retract")
        assert payload_of(by_number) == {"numbered/1": {"number": 1}}
        assert by_word.lane == outbox.lane_of("keyed_by_word", odd, outbox.lane_count("default"))


def test_a_save_that_may_change_the_key_costs_one_statement(joe: Person, django_assert_num_queries: Any) -> None:
    joe.first_name = "Jane"
    if connection.vendor == "mysql":
        with django_assert_num_queries(3):  # the locked row, the save, the outbox
            joe.save()
        return
    with django_assert_num_queries(2) as seen:
        joe.save()
    assert "WITH logpipe_old" in seen.captured_queries[0]["sql"]
    with django_assert_num_queries(2):
        joe.save(update_fields=["first_name"])


def test_a_key_of_a_parents_table_is_retracted_as_the_childs_too() -> None:
    dog = Dog.objects.create(code="rex")
    forget()
    dog.code = "max"
    dog.save()
    expected = [("retract", "rex"), ("retract", "rex"), ("upsert", "max"), ("upsert", "max")]
    assert sorted(operations()) == expected
    forget()
    Animal.objects.get().save()
    animal = Animal.objects.get()
    animal.code = "rex"
    forget()
    animal.save()
    assert sorted(operations()) == [("retract", "max"), ("retract", "max"), ("upsert", "rex"), ("upsert", "rex")]


def test_a_key_that_a_delete_sets_to_null_is_retracted(declared: Any) -> None:
    animal_serializer = publications.for_model(Animal)[0].serializer_classes[0]

    class CagedSerializer(animal_serializer):  # type: ignore[misc, valid-type]
        MESSAGE_TYPE = "caged"
        KEY_FIELD = "cage"

        class Meta(animal_serializer.Meta):  # type: ignore[name-defined, misc]
            fields = ["cage", "code"]

    publishes("caged", CagedSerializer, lookup_fields=["cage", "code"])(Animal)
    cage = Cage.objects.create(name="A")
    Animal.objects.create(code="tiger", cage=cage)
    pk = cage.pk
    forget()
    cage.delete()
    rows = OutboxRow.objects.filter(publication="zoo.animal:caged").order_by("pk")
    assert [(str(row.operation), row.key) for row in rows] == [("retract", str(pk)), ("upsert", "None")]
    assert payload_of(rows[0]) == {"caged/1": {"cage": pk, "code": "tiger"}}


@pytest.fixture
def declared() -> Iterator[None]:
    before = set(publications)
    yield
    for publication in set(publications) - before:
        publications.forget(publication)


# --- watch ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched() -> Watched:
    row = Watched.objects.create(email="a@example.org", price="1.50", note="x")
    forget()
    return row


def test_what_is_not_watched_publishes_nothing(watched: Watched) -> None:
    watched.note = "y"
    watched.save()
    assert captured() == []


def test_what_is_watched_publishes(watched: Watched) -> None:
    watched.email = "b@example.org"
    watched.save()
    assert topics() == ["watched"]


def test_an_equal_value_of_another_type_is_no_change(watched: Watched) -> None:
    watched.price = "1.5"
    watched.save()
    assert captured() == []


def test_a_stale_instance_that_writes_an_old_value_back_publishes(watched: Watched) -> None:
    stale = Watched.objects.get()
    watched.email = "b@example.org"
    watched.save()
    forget()
    stale.note = "y"
    stale.save()
    assert topics() == ["watched"]


def test_a_watched_field_that_is_not_written_is_no_change(watched: Watched) -> None:
    watched.email = "b@example.org"
    watched.save(update_fields=["note"])
    assert captured() == []


def test_a_key_that_the_database_computes_retracts_the_old_one() -> None:
    row = Keyed.objects.create(word="a", number=1)
    forget()
    row.number = F("number") + 1
    row.save()
    found = OutboxRow.objects.filter(publication="zoo.keyed:keyed_by_number").order_by("pk")
    assert [(str(each.operation), each.key) for each in found] == [("retract", "1"), ("upsert", "2")]


def test_what_the_database_computes_counts_as_a_change(watched: Watched) -> None:
    watched.email = Concat(Value("x"), F("email"))  # type: ignore[assignment]
    watched.save()
    assert topics() == ["watched"]


def test_a_new_row_and_a_delete_are_always_published(watched: Watched) -> None:
    Watched.objects.create(email="a@example.org")
    watched.delete()
    assert [operation for operation, _ in operations()] == ["upsert", "delete"]


# --- on purpose -------------------------------------------------------------------------------------------------------


def test_nothing_is_published_while_it_is_suspended(joe: Person) -> None:
    with suspend_publishing():
        joe.save()
        Visit.objects.create(guest="Joe")
        joe.delete()
    assert captured() == []
    Visit.objects.create(guest="Joe")
    assert topics() == ["visit_audit", "visits"]


@pytest.mark.parametrize("what", ["visits", "zoo.visit:visits"])
def test_a_topic_or_publication_can_be_suspended_alone(joe: Person, what: str) -> None:
    with suspend_publishing(what):
        joe.save()
        Visit.objects.create(guest="Joe")
    assert topics() == ["people", "visit_audit"]


def test_a_model_can_be_suspended_alone_and_blocks_nest(joe: Person) -> None:
    with suspend_publishing(Visit), suspend_publishing("people"):
        joe.save()
        Visit.objects.create(guest="Joe")
    assert captured() == []


def test_suspending_what_is_not_there_names_what_is() -> None:
    with pytest.raises(LookupError, match="'pepole' is no topic"), suspend_publishing("pepole"):
        pass


def test_an_instance_can_opt_out(joe: Person) -> None:
    joe._logpipe_publish = False  # type: ignore[attr-defined]
    joe.save()
    joe.delete()
    assert captured() == []
    Person.objects.create(first_name="Jane", last_name="Schmoe")
    assert topics() == ["people"]
