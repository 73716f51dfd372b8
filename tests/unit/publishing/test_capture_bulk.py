"""Set-wise writes leave a row for each row written, and for no other, in as few statements as the database allows."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat, Upper

from logpipe_signals import echo
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.unit.publishing.outbox_rows import captured, forget, payload_of, topics
from tests.zoo.models import (
    Animal,
    Broken,
    Cage,
    Carp,
    Dog,
    Keyed,
    Passport,
    Seat,
    TextKeyed,
    TicketKeyed,
    UuidKeyed,
    Visit,
    Watched,
)

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]
in_autocommit = pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])


@pytest.fixture
def people() -> list[Person]:
    made = [Person(first_name=name, last_name="Schmoe") for name in ("Joe", "Jane", "Jack")]
    Person.objects.bulk_create(made)
    outbox.lane_count("default")
    forget()
    return list(Person.objects.order_by("pk"))


def operations() -> list[tuple[str, str]]:
    return [(str(row.operation), row.key) for row in OutboxRow.objects.order_by("pk")]


def target(*names: str) -> list[str] | None:
    """Name the conflict's fields; MariaDB takes none, any unique key of a row will do there."""
    return list(names) if connection.features.supports_update_conflicts_with_target else None


def as_saved(topic: str) -> set[tuple[str, str, int]]:
    """Return what single saves of the rows leave: what set-wise captures have to equal."""
    rows = OutboxRow.objects.filter(publication__endswith=f":{topic}")
    return set(rows.values_list("object_id", "key", "lane"))


# --- update -----------------------------------------------------------------------------------------------------------


def test_an_update_leaves_a_row_for_each_row_updated(people: list[Person]) -> None:
    assert Person.objects.filter(first_name__startswith="J").exclude(first_name="Jack").update(last_name="Bloggs") == 2
    assert sorted(key for _, key in operations()) == sorted(str(person.uuid) for person in people[:2])


def test_an_update_of_nothing_leaves_none(people: list[Person]) -> None:
    assert Person.objects.filter(first_name="Nobody").update(last_name="Bloggs") == 0
    assert captured() == []


@pytest.mark.parametrize("make", ["people", "uuids", "texts", "visits", "tickets", "passports", "seats", "fish"])
def test_an_update_captures_what_a_save_would(make: str) -> None:
    show, owner = TextKeyed.objects.create(word='a "b" ü'), UuidKeyed.objects.create()
    rows: dict[str, tuple[Any, dict[str, Any]]] = {
        "people": (Person(first_name="Joe", last_name="Schmoe"), {"first_name": "Jane"}),
        "uuids": (owner, {"name": "x"}),
        "visits": (Visit(guest="Joe"), {"guest": "Jane"}),
        "tickets": (TicketKeyed(number="T-7"), {"name": "x"}),
        "passports": (Passport(owner=owner), {"owner": owner}),
        "seats": (Seat(show=show, number=3), {"taken": True}),
        "texts": (show, {"word": show.word}),
        "fish": (Carp(name="Carl"), {"name": "Kim"}),
    }
    row, values = rows[make]
    row.save()
    forget()
    row.save()
    saved = as_saved(make)
    forget()
    assert type(row).objects.filter(pk=row.pk).update(**values) == 1
    assert as_saved(make) == saved


def test_an_update_costs_one_statement_on_postgresql_two_on_sqlite_and_five_on_mariadb(
    people: list[Person], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries({"postgresql": 1, "sqlite": 2, "mysql": 5}[connection.vendor]):
        Person.objects.update(last_name="Bloggs")
    assert len(operations()) == 3


def test_two_publications_are_captured_by_one_update() -> None:
    Visit.objects.bulk_create([Visit(guest="Joe"), Visit(guest="Jane")])
    forget()
    assert Visit.objects.update(guest=Concat(F("guest"), Value("!"))) == 2
    assert topics() == ["visit_audit", "visit_audit", "visits", "visits"]
    assert set(Visit.objects.values_list("guest", flat=True)) == {"Joe!", "Jane!"}


def test_an_update_over_joins_and_annotations_is_captured() -> None:
    country = Country.objects.create(code="CH", name="Schweiz")
    City.objects.create(geoname_id=1, name="Zürich", country=country, latitude=47, longitude=8)
    forget()
    assert City.objects.filter(country__name="Schweiz").update(population=1) == 1
    assert Country.objects.annotate(n=Count("cities")).filter(n=1).update(capital=Upper("name")) == 1
    assert operations() == [("upsert", "1"), ("upsert", "CH")]


def test_an_update_of_a_key_retracts_the_old_ones(people: list[Person]) -> None:
    keyed = [Keyed(word="a", number=1), Keyed(word="b", number=2)]
    Keyed.objects.bulk_create(keyed)
    forget()
    assert Keyed.objects.update(word=Concat(F("word"), Value("!"))) == 2
    rows = OutboxRow.objects.filter(publication="zoo.keyed:keyed_by_word")
    assert sorted((str(row.operation), row.key) for row in rows) == [
        ("retract", "a"),
        ("retract", "b"),
        ("upsert", "a!"),
        ("upsert", "b!"),
    ]
    assert payload_of(rows.get(key="a")) == {"keyed/1": {"word": "a"}, "keyed/2": {"word": "a"}}


def test_an_update_of_a_primary_key_deletes_the_old_row_and_publishes_the_new_one() -> None:
    TextKeyed.objects.create(word="a")
    forget()
    assert TextKeyed.objects.update(word="b") == 1
    assert operations() == [("delete", "a"), ("upsert", "b")]
    forget()
    assert TextKeyed.objects.update(word=Concat("word", Value("c"))) == 1
    assert operations() == [("delete", "b"), ("upsert", "bc")]


def test_an_update_of_a_primary_key_to_what_it_is_deletes_nothing() -> None:
    Watched.objects.create(email="a")
    forget()
    assert Watched.objects.update(id=F("id")) == 1
    assert operations() == []
    old = Watched.objects.get().pk
    Watched.objects.update(id=F("id") + 1000)
    assert operations() == [("delete", str(old)), ("upsert", str(old + 1000))]


def test_an_update_of_a_part_of_a_composite_primary_key_deletes_the_old_row() -> None:
    show = TextKeyed.objects.create(word="show")
    Seat.objects.bulk_create([Seat(show=show, number=1), Seat(show=show, number=2)])
    forget()
    assert Seat.objects.filter(number=2).update(number=F("number") + 1) == 1
    assert [(o, json.loads(key)) for o, key in operations()] == [("delete", ["show", "2"]), ("upsert", ["show", "3"])]
    forget()
    other = TextKeyed.objects.create(word="other")
    forget()
    assert Seat.objects.filter(number=3).update(show=other) == 1
    assert [(o, json.loads(key)) for o, key in operations()] == [("delete", ["show", "3"]), ("upsert", ["other", "3"])]


def test_an_update_publishes_watched_rows_that_changed_only() -> None:
    Watched.objects.bulk_create([Watched(email="a"), Watched(email="b")])
    changed = Watched.objects.get(email="b")
    forget()
    Watched.objects.update(note="x")
    assert captured() == []
    Watched.objects.update(email="a")
    assert captured() == [("watched", "upsert", str(changed.pk))]


def test_an_update_of_a_multi_table_child_is_published_as_its_parent_too() -> None:
    dog = Dog.objects.create(code="rex")
    forget()
    Dog.objects.update(breed="terrier")
    assert topics() == ["dogs"]
    forget()
    Dog.objects.update(name="Rex", breed="poodle")
    assert topics() == ["animals", "dogs"]
    forget()
    Animal.objects.filter(pk=dog.pk).update(name="Max")
    assert topics() == ["animals", "dogs"]


def test_bulk_update_leaves_a_row_for_each(people: list[Person]) -> None:
    for person in people:
        person.first_name = person.first_name.upper()
    Person.objects.bulk_update(people, ["first_name"], batch_size=2)
    assert sorted(key for _, key in operations()) == sorted(str(person.uuid) for person in people)


def test_a_key_that_cannot_be_told_in_sql_is_told_in_python() -> None:
    Broken.objects.create(name="Joe")
    forget()
    Broken.objects.update(name="Jane")
    assert operations() == [("upsert", "")]


def test_rows_that_are_added_to_a_related_manager_are_captured() -> None:
    cage = Cage.objects.create(name="A")
    animal = Animal.objects.create(code="tiger")
    forget()
    cage.animals.add(animal)
    assert topics() == ["animals"]
    forget()
    cage.animals.clear()
    assert topics() == ["animals"]


def test_rows_whose_foreign_key_a_delete_sets_are_captured_once() -> None:
    cage = Cage.objects.create(name="A")
    Animal.objects.create(code="tiger", cage=cage)
    forget()
    cage.delete()
    assert topics() == ["animals"]


# --- create -----------------------------------------------------------------------------------------------------------


def test_bulk_create_captures_what_saves_would(django_assert_num_queries: Any) -> None:
    outbox.lane_count("default")
    with django_assert_num_queries(2):
        Person.objects.bulk_create([Person(first_name=name, last_name="Schmoe") for name in ("Joe", "Jane")])
    bulk = as_saved("people")
    forget()
    for person in Person.objects.all():
        person.save()
    assert bulk == as_saved("people")


def test_bulk_create_that_ignores_conflicts_captures_what_it_inserted() -> None:
    old = Person.objects.create(first_name="Joe", last_name="Schmoe")
    new = Person(first_name="Jane", last_name="Schmoe")
    forget()
    Person.objects.bulk_create([Person(first_name="X", last_name="X", uuid=old.uuid), new], ignore_conflicts=True)
    assert ("upsert", str(new.uuid)) in operations()
    assert Person.objects.get(pk=old.pk).first_name == "Joe"


def test_bulk_create_that_ignores_conflicts_without_unique_fields_captures_what_it_inserted() -> None:
    Visit.objects.bulk_create([Visit(guest="Joe"), Visit(guest="Jane")], ignore_conflicts=True)
    assert topics() == ["visit_audit", "visit_audit", "visits", "visits"]


def test_bulk_create_that_updates_conflicts_captures_inserted_and_updated() -> None:
    old = Person.objects.create(first_name="Joe", last_name="Schmoe")
    objs = [Person(first_name="Jim", last_name="X", uuid=old.uuid), Person(first_name="Jane", last_name="Schmoe")]
    forget()
    Person.objects.bulk_create(objs, update_conflicts=True, update_fields=["first_name"], unique_fields=target("uuid"))
    assert sorted(operations()) == sorted(("upsert", str(obj.uuid)) for obj in objs)
    assert Person.objects.get(pk=old.pk).first_name == "Jim"


def test_bulk_create_that_updates_keys_retracts_the_old_ones() -> None:
    old = Person.objects.create(first_name="Joe", last_name="Schmoe")
    new = uuid.UUID(int=1)
    forget()
    Person.objects.bulk_create(
        [Person(pk=old.pk, first_name="Joe", last_name="Schmoe", uuid=new)],
        update_conflicts=True,
        update_fields=["uuid"],
        unique_fields=target("pk"),
    )
    assert operations() == [("retract", str(old.uuid)), ("upsert", str(new))]


def test_bulk_create_leaves_out_who_opted_out() -> None:
    quiet = Visit(guest="Joe")
    quiet._logpipe_publish = False  # type: ignore[attr-defined]
    Visit.objects.bulk_create([quiet, Visit(guest="Jane")])
    assert topics() == ["visit_audit", "visits"]


# --- delete -----------------------------------------------------------------------------------------------------------


def test_a_raw_delete_leaves_a_row_for_each(people: list[Person]) -> None:
    assert Person.objects.filter(first_name="Joe")._raw_delete("default") == 1
    assert operations() == [("delete", str(people[0].uuid))]
    assert Person.objects.count() == 2


# --- transactions, echo -----------------------------------------------------------------------------------------------


@in_autocommit
def test_in_autocommit_an_update_and_its_rows_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    forget()

    def fail(*_: Any) -> None:
        raise RuntimeError("killed before the commit")

    monkeypatch.setattr("logpipe_signals.publishing.wake.schedule", fail)
    with pytest.raises(RuntimeError, match="killed"):
        Person.objects.update(first_name="Jane")
    assert (Person.objects.get().first_name, captured()) == ("Joe", [])


def test_what_is_rolled_back_leaves_none(people: list[Person]) -> None:
    with transaction.atomic():
        Person.objects.update(first_name="X")
        Person.objects.bulk_create([Person(first_name="Y", last_name="Z")])
        transaction.set_rollback(True)
    assert captured() == []


@pytest.mark.parametrize("context", [echo.applying("people", Person), suspend_publishing()])
def test_an_echo_and_a_suspension_leave_none(people: list[Person], context: Any) -> None:
    with context:
        Person.objects.update(first_name="X")
        Person.objects.bulk_create([Person(first_name="Y", last_name="Z")])
        Person.objects.bulk_create([Person(first_name="Y", last_name="Z")], ignore_conflicts=True)
        Person.objects.all()._raw_delete("default")
    assert captured() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])
@pytest.mark.parametrize("column", ["last_name", "uuid"])
def test_a_row_that_another_session_lets_match_in_between_is_captured_if_it_is_written(column: str) -> None:
    """Copying the keys first and updating afterwards changed three rows here and captured two."""
    Person.objects.bulk_create([Person(first_name=name, last_name="Schmoe") for name in ("Joe", "Jane", "Jack")])
    Person.objects.filter(first_name="Jack").update(email="later")
    forget()
    held, done = threading.Event(), threading.Event()

    def let_match() -> None:
        with transaction.atomic():
            Person.objects.filter(first_name="Joe").update(last_name="Locked")
            with suspend_publishing():
                Person.objects.filter(first_name="Jack").update(email="")
            held.set()
            _wait_for_a_lock()
        connections.close_all()
        done.set()

    def _wait_for_a_lock() -> None:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with connection.cursor() as cursor:
            for _ in range(1000):
                cursor.execute(waiting)
                if cursor.fetchone()[0]:
                    return
                cursor.execute("SELECT pg_sleep(0.01)")

    other = threading.Thread(target=let_match)
    other.start()
    assert held.wait(10)
    new = {"last_name": "Bloggs"} if column == "last_name" else {"uuid": uuid.UUID(int=1)}
    chosen = Person.objects.filter(email="")
    if column == "uuid":
        chosen = chosen.filter(first_name="Joe")
    updated = chosen.update(**new)
    other.join(10)
    assert done.is_set()
    published = {row.object_id for row in OutboxRow.objects.filter(operation="upsert")}
    written = {str(pk) for pk in Person.objects.filter(**new).values_list("pk", flat=True)}
    assert len(written) == updated
    assert written <= published
