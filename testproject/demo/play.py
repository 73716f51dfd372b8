"""The play: people by ordinary saves, cities in bulk, the subscriber, a live change, and the comparison."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction

from logpipe_signals import signals
from logpipe_signals.backend.base import Record
from logpipe_signals.models import Backfill, DeadLetter
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills.foreground import Foreground
from logpipe_signals.publishing.inline import sweeper
from logpipe_signals.publishing.lanes import relay_id
from logpipe_signals.publishing.relay import drain
from testproject import geonames
from testproject.demo import screen, wire
from testproject.demo.compare import compare
from testproject.mirror.models import CityCopy
from testproject.people.models import Person
from testproject.places.models import City, Country

TOPICS = ("people", "countries", "cities")
DIFFERENCES_SHOWN = 5
PEOPLE = (
    ("Ada", "Lovelace"),
    ("Søren", "Kierkegaard"),
    ("Zoë", "Wanamaker"),
    ("José", "Saramago"),
    ("Łukasz", "Żal"),
    ("Αντιγόνη", "Παπαδοπούλου"),
    ("Наталья", "Гончарова"),
    ("樋口", "一葉"),
    ("أم", "كلثوم"),
    ("Joe", "Schmoe"),
    ("Grace", "Hopper"),
    ("Rosa", "Luxemburg"),
)
ATLANTIS = ("Poseidonis", "Atlas", "Gadeirus", "Ampheres", "Evaemon", "Mneseus")


def run(*, cities: int, kept: bool) -> int:
    """Play all acts, and return 0 when both sides are equal at the end."""
    group = f"demo-{secrets.token_hex(4)}"
    _prologue()
    since = wire.ends(TOPICS)
    wire.begin_at(since, group)
    sent = _people_by_saves(since)
    sent += _cities_in_bulk(cities, since)
    _subscriber(sent, group)
    _live_changes(group)
    equal = _comparison()
    if kept:
        _where_to_look()
    return 0 if equal else 1


def _prologue() -> None:
    for alias in ("default", "subscriber"):
        call_command("migrate", database=alias, verbosity=0)
    wire.make_topics(TOPICS)
    screen.heading("Two applications and a log between them")
    screen.line(f"publisher   {connections['default'].settings_dict['NAME']}: Person, Country, City")
    screen.line(f"log         {_log()}: topics {', '.join(TOPICS)}")
    screen.line(f"subscriber  {connections['subscriber'].settings_dict['NAME']}: a copy of each")


def _log() -> str:
    servers, endpoint = settings.LOGPIPE["KAFKA_BOOTSTRAP_SERVERS"], settings.LOGPIPE["KINESIS_ENDPOINT_URL"]
    known = {
        "database": "a table of the publisher's database (the embedded log)",
        "kinesis": f"Kinesis at {endpoint or 'AWS'}",
    }
    return known.get(settings.BACKEND.rpartition(".")[2], f"Apache Kafka at {servers}")


# --- the publisher ----------------------------------------------------------------------------------------------------


def _people_by_saves(since: wire.Ends) -> int:
    screen.heading("1  People: ordinary saves; each is sent after its commit, by the process that saved")
    with screen.timed() as stopwatch, screen.progress("saving", len(PEOPLE)) as step:
        people = [_create(first, last, step) for first, last in PEOPLE]
        _rename(people[9], "Joseph")
        _rename_in_one_transaction(people[10], ["Grace B.", "Grace Brewster", "Amazing Grace"])
        for goes in people[:2]:
            goes.delete()
        _rolled_back()
    drain("default")
    records = wire.read("people", since, limit=1000)
    screen.line(f"{len(people)} created, 1 renamed, 1 saved 3 times in one transaction, 2 deleted, 1 rolled back")
    rate = stopwatch.rate(len(records), "saves and deletes")
    screen.line(f"{len(records)} messages on topic 'people', on the log when save() returned: {rate}")
    _show(_first_of(records, b'"Joseph"', b'"person.deleted"'))
    return len(records)


def _create(first_name: str, last_name: str, step: Callable[[int], object]) -> Person:
    person = Person.objects.create(first_name=first_name, last_name=last_name, email=f"p{len(last_name)}@example.org")
    step(1)
    return person


def _rename(person: Person, first_name: str) -> None:
    person.first_name = first_name
    person.save()


def _rename_in_one_transaction(person: Person, first_names: Sequence[str]) -> None:
    with transaction.atomic():
        for first_name in first_names:
            _rename(person, first_name)


def _rolled_back() -> None:
    try:
        with transaction.atomic():
            Person.objects.create(first_name="Nobody", last_name="Rolled-Back")
            raise InterruptedError
    except InterruptedError:
        pass


def _cities_in_bulk(cities: int, since: wire.Ends) -> int:
    sweeper.stop()  # From here on a relay of its own sends, as in production.
    screen.heading("2  Cities of GeoNames: loaded in bulk, then manage.py republish_all countries cities")
    with screen.timed() as stopwatch, screen.progress("loading", cities) as step:
        loaded = geonames.load(cities, progress=step)
    screen.line(
        f"{loaded.countries:,} countries, {loaded.cities:,} cities, {loaded.tags:,} time zones as tags: "
        f"{stopwatch.rate(loaded.rows, 'rows')}"
    )
    with screen.timed() as stopwatch, screen.progress("sending", loaded.rows) as step:
        sent = _republish(["countries", "cities"], step)
    screen.line(f"{sent:,} rows sent, never more than a few thousand in the outbox: {stopwatch.rate(sent, 'sent')}")
    _show(wire.read("cities", since, limit=1))
    return sent


def _republish(labels: Sequence[str], step: Callable[[int], object]) -> int:
    owner = relay_id()
    jobs = [backfills.start(target.publication.name, owner=owner) for target in backfills.targets(labels)]
    shown: dict[int, int] = {}

    def watch(job: Backfill, seen: backfills.Progress) -> None:
        step(max(0, seen.rows_sent - shown.get(job.pk, 0)))
        shown[job.pk] = max(seen.rows_sent, shown.get(job.pk, 0))

    Foreground(jobs, owner=owner, watch=watch).run()
    step(sum(job.rows_done for job in jobs) - sum(shown.values()))
    return sum(job.rows_done for job in jobs)


def _first_of(records: Sequence[Record], *parts: bytes) -> list[Record]:
    found = [next((r for r in records if part in (r.value or b"")), None) for part in parts]
    return [record for record in found if record is not None]


def _show(records: Sequence[Record]) -> None:
    for record in records:
        screen.message(wire.place(record), (record.value or b"").decode())


# --- the subscriber ---------------------------------------------------------------------------------------------------


def _subscriber(records: int, group: str) -> None:
    screen.heading("3  The subscriber: manage.py run_consumer; rows and position in one transaction")
    with screen.timed() as stopwatch, screen.progress("applying", records) as step, _applied(step) as applied:
        _consume(group)
    screen.line(f"{sum(applied):,} records applied: {stopwatch.rate(sum(applied), 'applied')}")


def _live_changes(group: str) -> None:
    screen.heading("4  Live: a city grows, a country rises and sinks with its cities")
    with screen.timed() as stopwatch, _applied(lambda records: None) as applied:
        city = _one_inhabitant_more()
        country = _atlantis_rises()
        _consume(group)
        copies = CityCopy.objects.filter(country_code=country.code).count()
        country.delete()
        _consume(group)
    screen.line(f"{city.name}: {city.population:,} inhabitants. {country.name} rose: {copies} copies of its cities;")
    screen.line(f"one delete() of the country later there are {CityCopy.objects.filter(country_code='XA').count()}")
    screen.line(f"{sum(applied)} records sent and applied, one after the other: {stopwatch.seconds:.2f} s")


def _one_inhabitant_more() -> City:
    city = City.objects.order_by("-population", "pk")[0]
    city.population += 1
    city.save()
    return city


def _atlantis_rises() -> Country:
    country = Country.objects.create(code="XA", name="Atlantis", capital="Poseidonis")
    for number, name in enumerate(ATLANTIS, start=1):
        City.objects.create(geoname_id=-number, name=name, country=country, latitude=31.0, longitude=-24.0)
    return country


def _consume(group: str) -> None:
    call_command("run_consumer", until_caught_up=True, group=group, stdout=StringIO())


@contextmanager
def _applied(step: Callable[[int], object]) -> Iterator[list[int]]:
    """Count what is applied while the block runs."""
    counts: list[int] = []

    def batch_applied(sender: object, *, applied: int, **_: Any) -> None:
        counts.append(applied)
        step(applied)

    signals.batch_applied.connect(batch_applied)
    try:
        yield counts
    finally:
        signals.batch_applied.disconnect(batch_applied)


# --- the end ----------------------------------------------------------------------------------------------------------


def _comparison() -> bool:
    screen.heading("5  Both sides, row by row")
    comparisons = compare()
    for side in comparisons:
        verdict = f"{len(side.differences):,} differ" if side.differences else "equal"
        screen.line(f"{side.name:<10} {side.published:>8,} published {side.mirrored:>8,} copied   {verdict}")
        for difference in side.differences[:DIFFERENCES_SHOWN]:
            screen.line(f"  {difference}")
    letters = {alias: DeadLetter.objects.using(alias).count() for alias in ("default", "subscriber")}
    screen.line(f"dead letters: {letters['default']} at the publisher, {letters['subscriber']} at the subscriber")
    equal = not any(side.differences for side in comparisons) and not any(letters.values())
    screen.heading("Both sides are equal." if equal else "The sides differ.")
    return equal


def _where_to_look() -> None:
    folder = settings.DATA_DIR
    screen.line(f"The databases are in {folder}. Look around:")
    screen.line(f"  TESTPROJECT_DATA_DIR={folder} {sys.executable} manage.py createsuperuser")
    screen.line(f"  TESTPROJECT_DATA_DIR={folder} DEBUG=1 {sys.executable} manage.py runserver")
