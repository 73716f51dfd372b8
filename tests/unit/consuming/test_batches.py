"""Batches: together where that works, one by one where it does not, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, connections
from rest_framework import serializers

from logpipe_signals import Consumer
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.models import DeadLetter, Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.places.models import City, Country
from tests.unit.consuming.conftest import names, person, put, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Create = Callable[[str], None]


class Deadlock(Exception):
    """What psycopg raises below Django's error."""

    sqlstate = "40P01"


class Terminated(Exception):
    """The same of a connection that the server ended."""

    sqlstate = "57P01"


def serializer(create: Create) -> type[PersonCopySerializer]:
    """Return a serializer that calls a function with each first name before it creates."""

    class Watched(PersonCopySerializer):
        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            create(validated_data["first_name"])
            return super().create(validated_data)

    return Watched


def run(create: Create, **options: Any) -> Tally:
    consumer = Consumer("people", consumer_timeout_ms=10, **options)
    consumer.register(serializer(create))
    return consumer.run()


def put_names(*names: str) -> None:
    for number, name in enumerate(names):
        put_message(person(number, name))


def reasons() -> list[str]:
    return list(DeadLetter.objects.using("subscriber").order_by("pk").values_list("reason", flat=True))


def set_position(position: str) -> None:
    Offset.objects.using("subscriber").filter(topic="people").update(position=position)


def test_a_position_moved_by_another_consumer_refuses_the_batch_before_user_code():
    put_names("a", "b", "c")
    seen: list[str] = []
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(serializer(seen.append))
    read_ahead = consumer._feed.take(max_records=3, timeout_seconds=1)
    consumer._feed.give_back(read_ahead)
    set_position("2")  # another consumer did the first two
    assert consumer.run().applied == 1
    assert seen == ["c"]


def test_a_transient_error_repeats_the_whole_transaction():
    put_names("a", "b")
    tries: list[str] = []

    def create(name: str) -> None:
        tries.append(name)
        if tries.count("b") == 1 and name == "b":
            raise OperationalError("deadlock detected") from Deadlock()

    assert run(create).applied == 2
    assert tries == ["a", "b", "a", "b"]
    assert names() == ["a", "b"]


def test_a_connection_that_is_lost_at_a_commit_that_took_place_repeats_nothing(monkeypatch: pytest.MonkeyPatch):
    """Whether the COMMIT arrived nobody knows: the position does, which is in the same transaction."""
    put_names("a", "b")
    tries: list[str] = []
    connection = connections["subscriber"]
    commit = connection.commit

    def lost_behind(*args: Any) -> None:
        commit()
        if tries and lost:
            raise OperationalError(lost.pop()) from Terminated()

    lost = ["terminating connection due to administrator command"]
    monkeypatch.setattr(connection, "commit", lost_behind)
    run(tries.append)
    assert tries == ["a", "b"]
    assert not lost
    put_names("a", "b", "c")
    run(tries.append)
    assert Offset.objects.using("subscriber").get(topic="people").position == "5"
    assert names() == ["a", "b", "c"]


def test_a_connection_that_is_lost_before_the_commit_repeats_the_whole_transaction(monkeypatch: pytest.MonkeyPatch):
    put_names("a", "b")
    tries: list[str] = []
    connection = connections["subscriber"]
    commit = connection.commit

    def lost_before(*args: Any) -> None:
        if tries and lost:
            raise OperationalError(lost.pop()) from Terminated()
        commit()

    lost = ["terminating connection due to administrator command"]
    monkeypatch.setattr(connection, "commit", lost_before)
    assert run(tries.append).applied == 2
    assert tries == ["a", "b", "a", "b"]
    assert names() == ["a", "b"]


def test_a_cursor_that_user_code_closed_is_no_lost_connection():
    put_names("bad", "b")

    def create(name: str) -> None:
        if name == "bad":
            raise InterfaceError("cursor already closed")

    assert run(create) == Tally(handled=2, applied=1, failed=1)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_poison_message_at_the_head_of_a_batch_costs_itself_alone(bulk: bool):
    put(b"json:{" + b"[" * 100_000)
    put_names("a", "b")
    assert run(lambda name: None, bulk=bulk) == Tally(handled=3, applied=2, failed=1)
    assert names() == ["a", "b"]


def test_a_stop_ends_a_batch_that_is_applied_one_by_one():
    put_names("a", "b", "c")
    applied: list[str] = []
    stop = Stop()

    def create(name: str) -> None:
        if not applied:
            applied.append("together")
            raise IntegrityError("so that they are applied one by one")
        applied.append(name)
        stop.request()

    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(serializer(create))
    routes = {"people": consumer.routes}
    assert Loop(consumer._feed, routes, LoopOptions(), stop=stop).run().applied == 1
    assert Offset.objects.using("subscriber").get(topic="people").position == "1"


def test_contention_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("logpipe_signals.consuming.transients.FIRST_PAUSE_SECONDS", 0.0001)
    put_names("a")

    def create(name: str) -> None:
        raise OperationalError("deadlock detected") from Deadlock()

    assert run(create).failed == 1
    assert reasons() == ["OperationalError"]


def test_one_bad_record_of_a_batch_costs_itself_alone():
    put_names("a", "bad", "c")

    def create(name: str) -> None:
        if name == "bad":
            raise IntegrityError("no")

    assert run(create) == Tally(handled=3, applied=2, failed=1)
    assert names() == ["a", "c"]


def test_what_a_failed_record_wrote_is_rolled_back():
    put_names("a", "bad", "c")

    def create(name: str) -> None:
        PersonCopy.objects.create(uuid=person(100 + len(name))["uuid"], first_name=f"beside {name}", last_name="")
        if name == "bad":
            raise RuntimeError

    run(create)
    assert not PersonCopy.objects.filter(first_name="beside bad").exists()


def test_invalid_records_are_set_aside_and_the_batch_is_applied_together():
    put_message(person(1, "a"))
    put_message(person(2, "b", email="no address"))
    put_message(person(3, "c"))
    calls: list[str] = []
    assert run(calls.append) == Tally(handled=3, applied=2, failed=1)
    assert calls == ["a", "c", "a", "c"]  # once with the invalid one, which is rolled back, and once without
    assert reasons() == ["ValidationError"]


def test_skip_passes_over_without_a_dead_letter():
    put(b"bad")
    put_names("a")
    assert run(lambda name: None, on_error="skip") == Tally(handled=2, applied=1, failed=1)
    assert reasons() == []


def test_raise_stops_at_the_record_after_those_before_it():
    put_names("a", "bad", "c")

    def create(name: str) -> None:
        if name == "bad":
            raise RuntimeError("stop here")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="stop here"):
            run(create, on_error="raise")
    assert names() == ["a"]


def test_an_unknown_type_can_be_kept():
    put_message({}, kind="stranger")
    run(lambda name: None, on_unknown_type="dead_letter")
    assert reasons() == ["UnknownMessageTypeError"]


def test_a_consumer_that_dies_inside_the_transaction_leaves_nothing_behind():
    put_names("a", "b")

    def die(name: str) -> None:
        if name == "b":
            raise SystemExit

    with pytest.raises(SystemExit):
        run(die)
    assert names() == []
    assert run(lambda name: None).applied == 2


class CityRow(serializers.ModelSerializer):
    """Writes a foreign key unchecked, which the database checks when the transaction commits."""

    MESSAGE_TYPE = "city"
    VERSION = 1
    country_id = serializers.CharField()

    class Meta:
        model = City
        fields = ["geoname_id", "name", "country_id", "latitude", "longitude"]


def test_a_constraint_that_fails_at_the_commit_costs_its_record_alone(logpipe_settings: Callable[..., None]):
    logpipe_settings(CONSUMER_DATABASE="default", RELAY="worker")
    Country.objects.create(code="FR", name="France")
    for number, country in enumerate(["FR", "XX", "FR"]):
        city = {"geoname_id": number, "name": "x", "country_id": country, "latitude": 0, "longitude": 0}
        put_message(city, kind="city")
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(CityRow)
    assert consumer.run() == Tally(handled=3, applied=2, failed=1)
    assert set(City.objects.values_list("geoname_id", flat=True)) == {0, 2}
    assert DeadLetter.objects.using("default").get(side="consumer").reason == "IntegrityError"
