"""Chunks: every row once, in key order, by a constant number of statements, as capture would have written it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import Backfill, OutboxRow
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import chunks
from logpipe_signals.publishing.key_sql import key_sql, object_id_sql
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.zoo.models import Animal, Carp, Dog, HeadKeeper, Passport, Seat, TextKeyed, TicketKeyed, UuidKeyed, Visit

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]


def make_people(count: int) -> None:
    with suspend_publishing():
        Person.objects.bulk_create([Person(first_name=f"p{n}", last_name="x") for n in range(count)])


def people() -> backfills.Target:
    (target,) = backfills.targets(["people"])
    return target


def enqueue(target: backfills.Target) -> int:
    return chunks.write_rows(target, target.rows())


# --- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["people.Person", "people.person", "people.person:people", "people"])
def test_a_label_is_a_model_a_publication_or_a_topic(label: str) -> None:
    (target,) = backfills.targets([label])
    assert (target.publication.name, target.using) == ("people.person:people", "default")


def test_no_label_is_everything() -> None:
    names = {target.publication.name for target in backfills.targets()}
    assert {"people.person:people", "places.city:cities", "zoo.dog:dogs"} <= names


def test_naming_a_publication_twice_is_once() -> None:
    assert len(backfills.targets(["people", "people.Person"])) == 1


def test_a_model_on_several_topics_is_several_publications() -> None:
    assert len(backfills.targets(["zoo.Visit"])) == 2


def test_an_unknown_label_is_told_what_there_is() -> None:
    with pytest.raises(DeclarationError, match=r"'persons' is no publication.*people\.person:people.*places\.city"):
        backfills.targets(["persons"])


# --- enqueuing --------------------------------------------------------------------------------------------------------


def test_5000_rows_take_one_statement() -> None:
    make_people(5000)
    (target,) = backfills.targets(["people"])
    enqueue(target)
    OutboxRow.objects.all()._raw_delete("default")

    with CaptureQueriesContext(connection) as queries:
        enqueued = enqueue(target)

    assert enqueued == OutboxRow.objects.count() == 5000
    assert len(queries) == 1


def test_rows_are_enqueued_in_the_order_of_their_primary_key() -> None:
    make_people(50)
    enqueue(people())

    object_ids = [int(text) for text in OutboxRow.objects.order_by("id").values_list("object_id", flat=True)]
    assert object_ids == sorted(object_ids)


def country() -> Country:
    return Country.objects.create(code="FR", name="France")


MADE: dict[str, Callable[[], models.Model]] = {
    "a UUID key": lambda: Person.objects.create(first_name="Joe", last_name="Schmoe"),
    "a text primary key": country,
    "a number key": lambda: City.objects.create(
        geoname_id=2988507, name="Paris", country=country(), latitude=0, longitude=0
    ),
    "a multi-table parent": lambda: Animal.objects.create(code="ape"),
    "a parent's key": lambda: Dog.objects.create(code="rex"),
    "an empty key": lambda: Animal.objects.create(code=""),
    "a proxy": lambda: HeadKeeper.objects.create(name="Ann"),
    "an abstract parent": lambda: Carp.objects.create(name="Carl"),
    "a UUID primary key": lambda: UuidKeyed.objects.create(name="u"),
    "a text with signs": lambda: TextKeyed.objects.create(word="Ünïcode '%s' \\ \"quoted\""),
    "a primary key with a Python value of its own": lambda: TicketKeyed.objects.create(number="T-7"),
    "a foreign key as primary key": lambda: Passport.objects.create(owner=UuidKeyed.objects.create()),
    "a composite primary key": lambda: Seat.objects.create(show=TextKeyed.objects.create(word="Hamlet"), number=3),
    "several topics": lambda: Visit.objects.create(guest="Guy"),
}


def outbox_rows(model: type[models.Model]) -> list[dict[str, Any]]:
    names = [target.publication.name for target in backfills.targets([model._meta.label])]
    rows = OutboxRow.objects.filter(publication__in=names).order_by("publication")
    return list(rows.values("publication", "object_id", "key", "lane", "operation", "payload", "headers"))


@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_a_backfilled_row_is_the_row_that_capture_writes(make: Callable[[], models.Model]) -> None:
    model = type(make())
    captured = outbox_rows(model)
    OutboxRow.objects.all()._raw_delete("default")

    for target in backfills.targets([model._meta.label]):
        enqueue(target)

    assert captured
    assert outbox_rows(model) == captured
    assert set(OutboxRow.objects.values_list("priority", "attempts", "retry_at")) == {(1, 0, None)}


@pytest.mark.parametrize(
    ("label", "in_sql"),
    [
        *((label, True) for label in ("people", "countries", "cities", "animals", "dogs", "uuids", "passports")),
        *((label, False) for label in ("tickets", "seats", "broken")),
    ],
)
def test_keys_are_copied_in_the_database_where_their_text_is_the_wires(label: str, in_sql: bool) -> None:
    (target,) = backfills.targets([label])
    both = [object_id_sql(target.publication, "default"), key_sql(target.publication, "default")]
    assert all(expression is not None for expression in both) == in_sql


# --- publications of changes ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("people_by_changes")
def test_of_a_publication_of_changes_the_outbox_holds_what_each_row_is() -> None:
    make_people(3)
    OutboxRow.objects.all()._raw_delete("default")

    assert enqueue(people()) == 3

    kept = [
        json.loads(bytes(payload)) for payload in OutboxRow.objects.order_by("id").values_list("payload", flat=True)
    ]
    assert [member["person/1"]["first_name"] for member in kept] == ["p0", "p1", "p2"]


# --- chunk after chunk ------------------------------------------------------------------------------------------------


# MariaDB compares texts without case and accents, numbers no row 0, and takes no UUID whose variant is unknown.
LETTERS = (
    st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789_-")
    if connection.vendor == "mysql"
    else st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)
WORDS = st.text(LETTERS, min_size=1, max_size=8)
KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], models.Model]]] = {
    "animals": (st.integers(-(2**31), 2**31).filter(bool), lambda pk: Animal(pk=pk, code=str(pk))),
    "texts": (WORDS, lambda word: TextKeyed(word=word)),
    "uuids": (st.uuids(version=4), lambda pk: UuidKeyed(pk=pk)),
    "seats": (
        st.tuples(st.sampled_from(["Hamlet", "Ärger", "a"]), st.integers(-100, 100)),
        lambda pk: Seat(show_id=pk[0], number=pk[1]),
    ),
    "tickets": (st.integers(0, 10_000), lambda number: TicketKeyed(number=f"T-{number}")),
}


@pytest.mark.parametrize("label", KINDS)
def test_chunks_make_up_the_table_in_order_whatever_the_keys_and_wherever_they_are_cut(label: str) -> None:
    """Resumed before each chunk, from nothing but the text of the last key."""
    (target,) = backfills.targets([label])
    keys, make = KINDS[label]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(found=st.lists(keys, unique=True, max_size=12), limits=st.lists(st.integers(1, 5), min_size=1))
    def check(found: list[Any], limits: list[int]) -> None:
        with transaction.atomic():
            TextKeyed.objects.bulk_create(
                [TextKeyed(word=word) for word in ("Hamlet", "Ärger", "a")], ignore_conflicts=True
            )
            if label == "texts":
                TextKeyed.objects.all()._raw_delete("default")
            for pk in found:
                make(pk).save_base(raw=True, force_insert=True)
            expected = [chunks.pk_as_text(target, pk) for pk in target.rows().values_list("pk", flat=True)]
            OutboxRow.objects.all()._raw_delete("default")
            job = Backfill(publication=target.publication.name, end_key=chunks.last_key_of(target))

            for limit in cycle(limits):
                chunk = chunks.next_chunk(job, target, limit)
                assert chunk.write() <= limit
                job.last_key = chunk.last_key
                if chunk.is_last:
                    break

            assert list(OutboxRow.objects.order_by("id").values_list("object_id", flat=True)) == expected
            transaction.set_rollback(True)

    check()


def test_a_row_made_after_the_start_is_left_to_its_own_save() -> None:
    make_people(2)
    target = people()
    job = Backfill(publication=target.publication.name, end_key=chunks.last_key_of(target))
    make_people(1)
    assert chunks.next_chunk(job, target, 10).write() == 2


def test_an_empty_table_is_the_last_chunk() -> None:
    job = Backfill(publication=people().publication.name, end_key=chunks.last_key_of(people()))
    chunk = chunks.next_chunk(job, people(), 10)
    assert (chunk.write(), chunk.is_last) == (0, True)


@pytest.mark.parametrize("where", [{}, {"first_name__in": ["p1", "p3"]}, {"pk__gt": 0}])
def test_lookups_choose_among_the_rows(where: dict[str, Any]) -> None:
    make_people(5)
    target = people()
    job = Backfill(publication=target.publication.name, end_key=chunks.last_key_of(target), where=where)
    assert chunks.next_chunk(job, target, 10).write() == Person.objects.filter(**where).count()


def test_a_chunk_copied_in_the_database_is_two_statements() -> None:
    make_people(500)
    job = Backfill(publication=people().publication.name, end_key=chunks.last_key_of(people()))
    enqueue(people())
    with CaptureQueriesContext(connection) as queries:
        chunks.next_chunk(job, people(), 100).write()
    assert len(queries) == 2


def test_some_versions_alone_are_said_in_the_outbox() -> None:
    Visit.objects.create(guest="Guy")
    OutboxRow.objects.all()._raw_delete("default")
    target = backfills.target("zoo.visit:visits")
    chunks.write_rows(target, target.rows(), [2])
    assert [json.loads(bytes(row.payload or b"")) for row in OutboxRow.objects.all()] == [{"only_versions": [2]}]


@pytest.mark.usefixtures("people_by_changes")
def test_a_chunk_of_changes_takes_as_many_statements_for_many_rows_as_for_one() -> None:
    make_people(50)
    enqueue(people())
    counts = []
    for limit in (1, 50):
        with CaptureQueriesContext(connection) as queries:
            chunks.write_rows(people(), people().rows()[:limit] if limit == 1 else people().rows())
        counts.append(len(queries))
    assert counts[0] == counts[1]
