"""Backfill: every row once, by a constant number of statements, and live changes first."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import backfill
from logpipe_signals.publishing.key_sql import key_sql, object_id_sql
from logpipe_signals.publishing.suspend import suspend_publishing
from logpipe_signals.registry import publications
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.conftest import ChangeSettings
from tests.zoo.models import Animal, Carp, Dog, HeadKeeper, Passport, Seat, TextKeyed, TicketKeyed, UuidKeyed, Visit

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]


def make_people(count: int) -> None:
    with suspend_publishing():
        Person.objects.bulk_create([Person(first_name=f"p{n}", last_name="x") for n in range(count)])


def sent_names() -> list[str]:
    """Return the first names on the in-memory log, in the order sent."""
    from logpipe_signals.backend.base import Subscription
    from logpipe_signals.backend.dummy import Consumer

    consumer = Consumer(Subscription(topics=("people",)))
    records = []
    while found := consumer.poll(max_records=10_000, timeout_seconds=0):
        records += found
    consumer.close()
    return [
        json.loads((record.value or b"").removeprefix(b"json:"))["message"]["first_name"]
        for record in sorted(records, key=lambda record: int(dict(record.headers)["logpipe-sequence"]))
    ]


@pytest.fixture
def one_partition(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.dummy.Producer", RELAY="worker", RELAY_BATCH_SIZE=10)


# --- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["people.Person", "people.person", "people.person:people", "people"])
def test_a_label_is_a_model_a_publication_or_a_topic(label: str) -> None:
    (target,) = backfill.targets([label])
    assert (target.publication.name, target.using) == ("people.person:people", "default")


def test_no_label_is_everything() -> None:
    names = {target.publication.name for target in backfill.targets()}
    assert {"people.person:people", "places.city:cities", "zoo.dog:dogs"} <= names


def test_naming_a_publication_twice_is_once() -> None:
    assert len(backfill.targets(["people", "people.Person"])) == 1


def test_a_model_on_several_topics_is_several_publications() -> None:
    assert len(backfill.targets(["zoo.Visit"])) == 2


def test_an_unknown_label_is_told_what_there_is() -> None:
    with pytest.raises(DeclarationError, match=r"'persons' is no publication.*people\.person:people.*places\.city"):
        backfill.targets(["persons"])


# --- enqueuing --------------------------------------------------------------------------------------------------------


def test_5000_rows_take_one_statement() -> None:
    make_people(5000)
    (target,) = backfill.targets(["people"])
    backfill.enqueue(target)
    OutboxRow.objects.all()._raw_delete("default")

    with CaptureQueriesContext(connection) as queries:
        enqueued = backfill.enqueue(target)

    assert enqueued == OutboxRow.objects.count() == 5000
    assert len(queries) == 1


def test_rows_are_enqueued_in_the_order_of_their_primary_key() -> None:
    make_people(50)
    backfill.enqueue(*backfill.targets(["people"]))

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
    names = [target.publication.name for target in backfill.targets([model._meta.label])]
    rows = OutboxRow.objects.filter(publication__in=names).order_by("publication")
    return list(rows.values("publication", "object_id", "key", "lane", "operation", "payload", "headers"))


@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_a_backfilled_row_is_the_row_that_capture_writes(make: Callable[[], models.Model]) -> None:
    model = type(make())
    captured = outbox_rows(model)
    OutboxRow.objects.all()._raw_delete("default")

    for target in backfill.targets([model._meta.label]):
        backfill.enqueue(target)

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
    (target,) = backfill.targets([label])
    both = [object_id_sql(target.publication, "default"), key_sql(target.publication, "default")]
    assert all(expression is not None for expression in both) == in_sql


def test_what_only_python_can_tell_is_enqueued_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "ROWS_A_CHUNK", 3)
    show = TextKeyed.objects.create(word="Hamlet")
    Seat.objects.bulk_create([Seat(show=show, number=number) for number in range(10)])

    assert backfill.enqueue(*backfill.targets(["seats"])) == 10
    object_ids = set(OutboxRow.objects.filter(publication="zoo.seat:seats").values_list("object_id", flat=True))
    assert object_ids == {f'["Hamlet", "{number}"]' for number in range(10)}


# --- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_partition")
def test_each_row_is_sent_once() -> None:
    make_people(25)
    targets = backfill.targets(["people"])
    for target in targets:
        backfill.enqueue(target)

    seen: list[int] = []
    report = backfill.drain(targets, progress=seen.append)

    assert sorted(sent_names()) == sorted(f"p{n}" for n in range(25))
    assert report.sent == sum(seen) == 25
    assert not OutboxRow.objects.exists()


@pytest.mark.usefixtures("one_partition")
def test_a_live_change_overtakes_a_backfill() -> None:
    make_people(25)
    targets = backfill.targets(["people"])
    backfill.enqueue(*targets)
    Person.objects.create(first_name="live", last_name="x")

    backfill.drain(targets)

    assert "live" in sent_names()[:10], "the first batch"


@pytest.mark.usefixtures("one_partition")
def test_a_row_that_went_meanwhile_is_passed_over() -> None:
    make_people(2)
    targets = backfill.targets(["people"])
    backfill.enqueue(*targets)
    with suspend_publishing():
        Person.objects.filter(first_name="p0").delete()

    backfill.drain(targets)

    assert sent_names() == ["p1"]
    assert not OutboxRow.objects.exists()


# --- the command ------------------------------------------------------------------------------------------------------


def republish_all(*arguments: str) -> str:
    out = StringIO()
    call_command("republish_all", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("one_partition")
def test_the_command_sends_and_says_what_it_did() -> None:
    make_people(25)
    told = republish_all("people")

    assert "people.person:people on 'default': 25 rows in the outbox." in told
    assert "25 messages sent" in told
    assert len(sent_names()) == 25


@pytest.mark.usefixtures("one_partition")
def test_without_draining_the_rows_wait_for_a_relay() -> None:
    make_people(2)
    republish_all("people", "--no-drain")
    assert OutboxRow.objects.count() == 2


def test_a_dry_run_changes_nothing() -> None:
    make_people(2)
    assert "2 rows would be sent" in republish_all("people", "--dry-run")
    assert not OutboxRow.objects.exists()


def test_the_command_names_what_exists_when_a_label_is_unknown() -> None:
    with pytest.raises(CommandError, match=r"'persons' is no publication.*people\.person:people"):
        republish_all("persons")


# --- publications of changes ------------------------------------------------------------------------------------------


@pytest.fixture
def people_by_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    publication = publications["people.person:people"]
    monkeypatch.setattr(publication, "options", replace(publication.options, payload="change"))


@pytest.mark.usefixtures("people_by_changes")
def test_of_a_publication_of_changes_the_outbox_holds_what_each_row_is() -> None:
    make_people(3)
    OutboxRow.objects.all()._raw_delete("default")

    assert backfill.enqueue(*backfill.targets(["people"])) == 3

    kept = [
        json.loads(bytes(payload)) for payload in OutboxRow.objects.order_by("id").values_list("payload", flat=True)
    ]
    assert [member["person/1"]["first_name"] for member in kept] == ["p0", "p1", "p2"]


@pytest.mark.usefixtures("people_by_changes", "one_partition")
def test_a_backfill_of_changes_is_not_overtaken_by_a_later_one() -> None:
    make_people(1)
    OutboxRow.objects.all()._raw_delete("default")
    targets = backfill.targets(["people"])
    backfill.enqueue(*targets)
    person = Person.objects.get()
    person.first_name = "later"
    person.save()

    backfill.drain(targets)

    assert sent_names() == ["p0", "later"]
