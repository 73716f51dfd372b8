"""What is under way is no drift: changes that wait, partitions that lag, letters that are replayed."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone
from rest_framework import serializers

from logpipe_signals.backend import dummy
from logpipe_signals.backend.dummy import Producer
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.replay import replay
from logpipe_signals.models import AuditRange, DeadLetter
from logpipe_signals.publishing.audits.reading import RangeReader
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import CityCopySerializer, PersonCopySerializer
from testproject.people.models import Person
from testproject.places.models import City, Country
from testproject.places.serializers import CitySerializer
from tests.unit.auditing.conftest import Sides, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)
HoldBack = Callable[[str, int], None]


@pytest.fixture
def consume_without(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> HoldBack:
    """Return a function that consumes, but of one partition of `people` so many records alone."""

    def consume(partition: str, length: int) -> None:
        whole = dummy._log.topics["people"]
        held = [records[:length] if n == int(partition) else records for n, records in enumerate(whole)]
        with monkeypatch.context() as ahead:
            ahead.setitem(dummy._log.topics, "people", held)
            sides.consume()

    return consume


def length_of(partition: str) -> int:
    return len(dummy.partitions_of("people")[int(partition)])


def partition_of(key: object) -> str:
    return dummy.layout_of(3).partition_of(str(key))


def key_in(wanted: Callable[[str], bool]) -> uuid.UUID:
    """Return a new key of a partition."""
    return next(key for key in iter(uuid.uuid4, None) if wanted(partition_of(key)))


def make_old() -> None:
    """Let two hours pass since the last mark."""
    AuditRange.objects.using("subscriber").update(created=timezone.now() - timedelta(hours=2))


def after_each_reading(monkeypatch: pytest.MonkeyPatch, do: Callable[[int], Any], *, before: bool = False) -> None:
    """Do something when the rows of a round were read, or are about to be; it is given the round's number."""
    ranges, rounds = RangeReader.ranges, itertools.count(1)

    def read(self: RangeReader, *arguments: Any) -> Any:
        number = next(rounds)
        if before:
            do(number)
        yield from list(ranges(self, *arguments))
        if not before:
            do(number)

    monkeypatch.setattr(RangeReader, "ranges", read)


# --- in the publisher's outbox ----------------------------------------------------------------------------------------


class CityByCountry(CitySerializer):
    """Shows its country's name as its own."""

    name = serializers.CharField(source="country.name")


def test_rows_that_show_a_change_that_waits_are_under_way(sides: Sides, another_topic: Any, subscribed: Any) -> None:
    another_topic(CityByCountry, City, related=["country"], select_related=["country"])
    subscribed(CityCopySerializer, topic="others")
    country = Country.objects.create(code="DE", name="Deutschland")
    for number in range(3):
        City.objects.create(geoname_id=number, name="x", country=country, latitude=1, longitude=2)
    sides.sync()
    country.name = "Germany"
    country.save()
    report = sides.audit("others")
    assert (found(report), report.unsettled) == (set(), 3)


def test_a_row_that_a_condition_leaves_out_from_now_on_is_not_extra(
    sides: Sides, another_topic: Any, subscribed: Any
) -> None:
    subscribed(PersonCopySerializer, topic="others")
    another_topic(when=Q(first_name="In"))
    person = Person.objects.create(first_name="In", last_name="A")
    sides.sync()
    person.first_name = "Out"
    person.save()  # The relay will make a retraction of it.
    assert found(sides.audit("others")) == set()


# --- partitions that lag ----------------------------------------------------------------------------------------------


def test_a_row_of_whose_new_key_another_partition_told_first_is_no_drift(
    sides: Sides,
    people: list[Person],
    consume_without: HoldBack,
    logpipe_settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes of it in its old partition is stale then, so the row looks there as it did before."""
    logpipe_settings(CONSUMER_BATCH_SIZE=1)
    person, old = people[0], partition_of(people[0].uuid)
    before = length_of(old)
    person.last_name = "Told Late"
    person.save()
    sides.relay()

    def move(number: int) -> None:
        if number == 2:
            person.uuid = key_in(lambda partition: partition != old)
            person.save()
            sides.relay()

    after_each_reading(monkeypatch, move)
    sent = sides.start()
    consume_without(old, before)
    sides.consume()
    assert found(sides.report(sent)) == set()


def test_where_the_log_hides_its_partitions_a_row_whose_new_key_was_not_read_yet_is_no_drift(
    sides: Sides, people: list[Person], consume_without: HoldBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Producer, "layout", lambda self, topic: None)
    person, old = people[0], partition_of(people[0].uuid)
    new = key_in(lambda partition: partition != old)
    before = length_of(partition_of(new))
    pending = RangeReader._pending

    def moved(self: RangeReader, instances: Any) -> Any:
        Person.objects.filter(pk=person.pk).update(uuid=new)
        sides.relay()
        return pending(self, instances)

    monkeypatch.setattr(RangeReader, "_pending", moved)
    sent = sides.start(rounds=1)
    consume_without(partition_of(new), before)
    sides.consume()
    assert found(sides.report(sent)) == set()


def test_what_came_while_a_partition_was_down_for_more_than_an_hour_is_not_extra(
    sides: Sides, people: list[Person], consume_without: HoldBack
) -> None:
    before = length_of("2")
    sent = sides.start()
    consume_without("2", before)
    make_old()
    Person.objects.create(uuid=key_in(lambda partition: partition == "0"), first_name="New", last_name="Comer")
    sides.relay()
    consume_without("2", before)
    sides.consume()
    report = sides.report(sent)
    assert (report.verdict, found(report)) == ("incomplete", set())
    assert any("Audit again" in problem for problem in report.problems)


def test_what_changed_more_than_an_hour_after_the_first_mark_and_before_the_next_is_not_different(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_late(number: int) -> None:
        sides.consume()
        make_old()
        people[0].last_name = f"Later {number}"
        people[0].save()
        sides.sync()

    after_each_reading(monkeypatch, change_late)
    assert found(sides.audit()) == set()


def test_a_pause_of_more_than_an_hour_between_rounds_costs_nothing(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause_for_long(number: int) -> None:
        if number == 2:
            sides.consume()
            make_old()
            Person.objects.create(first_name="New", last_name="Comer")
            sides.relay()

    after_each_reading(monkeypatch, pause_for_long, before=True)
    report = sides.audit()
    assert (report.verdict, found(report), report.problems) == ("clean", set(), ())


# --- dead letters -----------------------------------------------------------------------------------------------------


def refuse(*_: Any, **__: Any) -> Any:
    raise serializers.ValidationError("not now")


def replay_all() -> None:
    done = replay(DeadLetter.objects.using("subscriber"), MultiConsumer(*declared_consumers()).routes())
    assert len(done.replayed) == 1


def test_a_row_that_a_replay_made_meanwhile_is_not_extra(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = sides.start()
    Person.objects.create(first_name="New", last_name="Comer")
    with monkeypatch.context() as broken:
        broken.setattr(PersonCopySerializer, "validate_last_name", refuse, raising=False)
        sides.sync()
    replay_all()
    assert found(sides.report(sent)) == set()


def test_a_row_that_a_replay_deleted_meanwhile_is_not_missing(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(number: int) -> None:
        people[0].delete()
        with monkeypatch.context() as broken:
            broken.setattr(PersonCopy, "delete", refuse)
            sides.sync()
        replay_all()

    after_each_reading(monkeypatch, delete)
    assert found(sides.audit(rounds=1)) == set()
