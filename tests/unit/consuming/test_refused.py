"""What is refused costs itself alone, and its letter says whose it is."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.db import IntegrityError
from rest_framework import serializers

from logpipe_signals.consuming.loop import Tally
from logpipe_signals.consuming.replay import replay
from logpipe_signals.envelope import Meta
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import change, consumer_of, letters, names, person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


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
    tally = consumer_of(Swallows).run()
    assert names() == ["a", "c"]
    assert tally == Tally(handled=3, applied=2, failed=1)
    assert letters("reason") == ["TransactionManagementError"]


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
    consumer_of(Picky).run()
    routes = {"people": consumer_of(Picky, PickyV2).routes}
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
    assert consumer_of(Refusing, on_error="skip").run() == Tally(handled=2, applied=1, failed=1)
    assert (names(), letters("state")) == (["ok"], [])


def test_an_error_without_text_costs_its_record_alone():
    class Picky(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            if self.validated_data["first_name"] == "bad":
                raise Mute
            return super().save(**kwargs)

    for number, name in enumerate(["a", "bad", "c"]):
        put_message(person(number, name))
    consumer_of(Picky).run()
    assert (names(), letters("reason")) == (["a", "c"], ["Mute"])


def test_what_an_upcaster_refuses_keeps_its_identity():
    class V2(PersonCopySerializer):
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise ValueError("no")

    change(1, "first", 1)
    change(1, "second", 2, version=2)
    consumer_of(V2, upcast={1: upcast}).run()
    assert letters("identity", "state") == [("person:1", "open"), ("person:1", "parked")]


@pytest.mark.parametrize("fault", ["lookup", "upcast"])
def test_the_policy_of_the_serializer_counts_for_what_its_lookup_or_upcaster_refuses(fault: str):
    class Other(PersonCopySerializer):
        MESSAGE_TYPE = "other"
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise ValueError("no")

    made = consumer_of()
    made.register(Other, on_error="raise", upcast={1: upcast})
    put_message({"first_name": "x"}, kind="other", version=2 if fault == "lookup" else 1)
    with pytest.raises(Exception, match=r"uuid|no"):
        made.run()


def test_an_upcasters_error_without_text_costs_its_record_alone():
    class V2(PersonCopySerializer):
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise Mute

    put_message(person(1))
    put_message(person(2, "b"), version=2)
    consumer_of(V2, upcast={1: upcast}).run()
    assert (names(), letters("reason")) == (["b"], ["InvalidMessageError"])


def test_a_version_that_failed_is_not_superseded_by_another_version_of_the_same_state():
    class V1(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            fields = ["uuid", "first_name", "last_name"]

    class V2(PersonCopySerializer):
        VERSION = 2

    meta = Meta(identity="person:1", source="a", sequence=5)
    put_message(person(1, email="no address"), version=2, meta=meta)
    put_message(person(1), version=1, meta=meta)
    consumer_of(V1, V2).run()
    assert letters("version", "state") == [(2, "open")]
    put_message(person(1), version=1, meta=Meta(identity="person:1", source="a", sequence=6))
    consumer_of(V1, V2).run()
    assert letters("version", "state") == [(2, "superseded")]
