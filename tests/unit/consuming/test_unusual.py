"""Unusual serializers, messages and moments: what a project may do, and what the log may do just then."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.db import IntegrityError
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from logpipe_signals import Consumer
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.dummy import Consumer as LogConsumer
from logpipe_signals.consuming.feed import Feed, FeedOptions
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.replay import replay
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.envelope import Meta
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def consumer(*classes: Any, **options: Any) -> Consumer:
    made = Consumer("people", consumer_timeout_ms=10, **options)
    for cls in classes or (PersonCopySerializer,):
        made.register(cls)
    return made


def run_loop(made: Consumer, **options: Any) -> Tally:
    loop = Loop(made._feed, {"people": made.routes}, LoopOptions(**options), stop=Stop())
    loop._pace._size = options.get("batch_size", 100)
    return loop.run()


def names() -> list[str]:
    return list(PersonCopy.objects.order_by("uuid").values_list("first_name", flat=True))


def letters(*fields: str) -> list[Any]:
    return list(DeadLetter.objects.using("subscriber").order_by("pk").values_list(*fields, flat=len(fields) == 1))


def change(number: int, name: str, sequence: int, **more: Any) -> None:
    meta = Meta(identity=f"person:{number}", source="a", sequence=sequence, payload="change")
    put_message(person(number, name), meta=meta, **more)


def test_records_in_hand_survive_a_log_that_is_away_when_it_is_asked_for_its_ends(monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        put_message(person(number, f"n{number}"))
    real, calls = LogConsumer.end_positions, []

    def away_once(self: LogConsumer, partitions: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise BackendUnavailable("away")
        return real(self, partitions)

    monkeypatch.setattr(LogConsumer, "end_positions", away_once)
    run_loop(consumer(), until_caught_up=True, endure=True, batch_size=2)
    assert names() == ["n0", "n1", "n2", "n3"]


def test_a_database_error_that_user_code_swallows_is_a_dead_letter_and_stops_nothing():
    class Swallows(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            saved = super().save(**kwargs)
            if self.validated_data["first_name"] == "bad":
                with contextlib.suppress(IntegrityError):
                    PersonCopy(uuid=saved.uuid, first_name="twice").save()
            return saved

    for number, name in enumerate(["a", "bad", "c"]):
        put_message(person(number, name))
    made = consumer(Swallows)
    tally = run_loop(made, max_records=6, end_when_idle=True)
    assert names() == ["a", "c"]
    assert tally == Tally(handled=3, applied=2, failed=1)
    assert letters("reason") == ["TransactionManagementError"]


@pytest.mark.parametrize("bulk", [False, True])
def test_bulk_keeps_the_columns_that_a_message_leaves_out(bulk: bool):
    put_message(person(1, "a", email="a@example.com"))
    consumer(bulk=bulk).run()
    less = person(1, "b")
    del less["email"]
    put_message(less)
    consumer(bulk=bulk).run()
    assert list(PersonCopy.objects.values_list("first_name", "email")) == [("b", "a@example.com")]


@pytest.mark.parametrize("bulk", [False, True])
def test_bulk_keeps_what_an_earlier_record_of_the_batch_said(bulk: bool):
    put_message(person(1, "a", email="a@example.com"))
    less = person(1, "b")
    del less["email"]
    put_message(less)
    put_message(person(2, "c"))
    consumer(bulk=bulk).run()
    assert list(PersonCopy.objects.order_by("uuid").values_list("first_name", "email")) == [
        ("b", "a@example.com"),
        ("c", ""),
    ]


def test_an_open_change_that_can_be_read_by_now_waits_behind_an_earlier_one_that_fails():
    state = {"broken": True}

    class Picky(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            if state["broken"] and self.validated_data["first_name"] == "first":
                raise RuntimeError("no")
            return super().save(**kwargs)

    class PickyV2(PersonCopySerializer):
        VERSION = 2

    change(1, "first", 1)
    change(1, "second", 2, version=2)
    consumer(Picky).run()
    routes = {"people": consumer(Picky, PickyV2).routes}
    waiting = DeadLetter.objects.using("subscriber").all()
    report = replay(waiting, routes)
    assert (len(report.failed), len(report.waiting), len(report.replayed)) == (1, 1, 0)
    state["broken"] = False
    report = replay(waiting, routes)
    assert len(report.replayed) == 2
    assert names() == ["second"]


def test_what_is_skipped_parks_nothing():
    class Refusing(PersonCopySerializer):
        first_name = serializers.CharField(max_length=3)

    change(1, "too long", 1)
    change(1, "ok", 2)
    assert consumer(Refusing, on_error="skip").run() == Tally(handled=2, applied=1, failed=1)
    assert (names(), letters("state")) == (["ok"], [])


def test_an_error_without_text_costs_its_record_alone():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Picky(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            if self.validated_data["first_name"] == "bad":
                raise Mute
            return super().save(**kwargs)

    for number, name in enumerate(["a", "bad", "c"]):
        put_message(person(number, name))
    consumer(Picky).run()
    assert (names(), letters("reason")) == (["a", "c"], ["Mute"])


def test_what_an_upcaster_refuses_keeps_its_identity():
    class V2(PersonCopySerializer):
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise ValueError("no")

    change(1, "first", 1)
    change(1, "second", 2, version=2)
    consumer(V2, upcast={1: upcast}).run()
    assert letters("identity", "state") == [("person:1", "open"), ("person:1", "parked")]


@pytest.mark.parametrize("fault", ["lookup", "upcast"])
def test_the_policy_of_the_serializer_counts_for_what_its_lookup_or_upcaster_refuses(fault: str):
    class Other(PersonCopySerializer):
        MESSAGE_TYPE = "other"
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise ValueError("no")

    made = consumer()
    made.register(Other, on_error="raise", upcast={1: upcast})
    put_message({"first_name": "x"}, kind="other", version=2 if fault == "lookup" else 1)
    with pytest.raises(Exception, match=r"uuid|no"):
        made.run()


def test_a_restart_at_the_beginning_survives_a_rebalance_before_the_first_batch():
    for number in range(3):
        put_message(person(number))
    consumer().run()
    PersonCopy.objects.all().delete()
    made = consumer()
    feed = Feed(FeedOptions(topics=("people",), group="logpipe", restart=True), made._positions)
    partition = TopicPartition("people", "0")
    first = feed._read_positions([partition])
    feed._assigned([partition])
    feed._revoked([partition])
    second = feed._read_positions([partition])
    assert (first, second) == ({partition: None}, {partition: None})


@pytest.mark.parametrize("bulk", [False, True])
def test_a_unique_value_changes_hands_within_a_batch(bulk: bool):
    class UniqueName(PersonCopySerializer):
        first_name = serializers.CharField(validators=[UniqueValidator(PersonCopy.objects.all(), message="taken")])

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="x", last_name="")
    put_message(person(2, "other"))
    put_message(person(1, "y"))
    put_message(person(2, "x"))
    assert consumer(UniqueName, bulk=bulk).run() == Tally(handled=3, applied=3)
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
    assert consumer(Sees, bulk=bulk).run() == Tally(handled=2, applied=2)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_serializer_that_changes_its_fields_changes_them_for_its_own_message(bulk: bool):
    class Changes(PersonCopySerializer):
        def to_internal_value(self, data: Any) -> Any:
            if data["first_name"] == "short":
                del self.fields["email"]
            return super().to_internal_value(data)

    put_message(person(1, "short"))
    put_message(person(2, "long", email="a@example.com"))
    consumer(Changes, bulk=bulk).run()
    assert list(PersonCopy.objects.order_by("uuid").values_list("email", flat=True)) == ["", "a@example.com"]


def test_an_upcasters_error_without_text_costs_its_record_alone():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class V2(PersonCopySerializer):
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise Mute

    put_message(person(1))
    put_message(person(2, "b"), version=2)
    consumer(V2, upcast={1: upcast}).run()
    assert (names(), letters("reason")) == (["b"], ["InvalidMessageError"])


@pytest.mark.parametrize("bulk", [False, True])
def test_a_row_that_is_made_again_is_a_new_one(bulk: bool):
    class NoEmail(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            fields = ["uuid", "first_name", "last_name"]
            extra_kwargs = {}

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="old", email="old@example.com")
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    put_message(person(1, "new"))
    assert consumer(NoEmail, bulk=bulk).run().applied == 2
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
    assert consumer(WithId, bulk=bulk).run() == Tally(handled=2, applied=1, failed=1)
    assert names() == ["mine", "third"]


def test_a_version_that_failed_is_not_superseded_by_another_version_of_the_same_state():
    class V1(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            fields = ["uuid", "first_name", "last_name"]

    class V2(PersonCopySerializer):
        VERSION = 2

    meta = Meta(identity="person:1", source="a", sequence=5)
    put_message(person(1, email="no address"), version=2, meta=meta)
    put_message(person(1), version=1, meta=meta)
    consumer(V1, V2).run()
    assert letters("version", "state") == [(2, "open")]
    put_message(person(1), version=1, meta=Meta(identity="person:1", source="a", sequence=6))
    consumer(V1, V2).run()
    assert letters("version", "state") == [(2, "superseded")]


def test_a_restart_is_not_caught_up_before_it_has_read_anything(monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        put_message(person(number))
    made = consumer()
    made.run()
    PersonCopy.objects.all().delete()
    real, polls = LogConsumer.poll, []

    def empty_at_first(self: LogConsumer, **options: Any) -> Any:
        polls.append(1)
        if len(polls) > 1:
            return real(self, **options)
        self.assignment()
        real(self, max_records=0, timeout_seconds=0)
        return []

    monkeypatch.setattr(LogConsumer, "poll", empty_at_first)
    feed = Feed(FeedOptions(topics=("people",), group="logpipe", restart=True), made._positions)
    Loop(feed, {"people": made.routes}, LoopOptions(until_caught_up=True), stop=Stop()).run()
    assert len(names()) == 3
