"""Consumer: one topic's messages become rows, as django-logpipe's does it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from logpipe_signals import Consumer, MultiConsumer
from logpipe_signals.echo import is_echo
from logpipe_signals.envelope import Meta
from logpipe_signals.exceptions import (
    IgnoredMessageTypeError,
    InvalidMessageError,
    UnknownMessageTypeError,
    UnknownMessageVersionError,
    ValidationError,
)
from logpipe_signals.models import DeadLetter, Offset
from logpipe_signals.signals import message_applied, message_failed
from testproject.mirror.models import CountryCopy, PersonCopy
from testproject.mirror.serializers import CountryCopySerializer, PersonCopySerializer
from tests.unit.consuming.conftest import names, person, put, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def people(**options: Any) -> Consumer:
    consumer = Consumer("people", consumer_timeout_ms=10, **options)
    consumer.register(PersonCopySerializer)
    return consumer


def position(topic: str = "people") -> str | None:
    return Offset.objects.using("subscriber").get(topic=topic).position


def test_a_message_creates_a_row_and_the_next_one_updates_it():
    put_message(person(1, "Joe"))
    people().run()
    put_message(person(1, "Jane"))
    people().run()
    assert names() == ["Jane"]


def test_a_record_is_applied_once_by_one_consumer_after_another():
    put_message(person(1))
    assert people().run().applied == 1
    assert people().run().applied == 0


def test_the_position_is_that_of_the_next_record():
    put_message(person(1))
    put_message(person(2))
    people().run()
    assert position() == "2"


def test_run_ends_after_iter_limit_records():
    for number in range(5):
        put_message(person(number))
    consumer = people()
    consumer.run(iter_limit=2)
    assert position() == "2"
    consumer.run(iter_limit=10)
    assert len(names()) == 5


def test_an_iteration_yields_records_with_validated_serializers():
    put_message(person(1, "Joe"))
    ((record, serializer),) = list(people())
    assert (record.topic, record.partition, record.offset) == ("people", "0", 0)
    assert serializer.validated_data["first_name"] == "Joe"


def test_a_record_committed_by_hand_is_not_read_again():
    put_message(person(1))
    put_message(person(2))
    consumer = people()
    for record, serializer in consumer:
        with transaction.atomic("subscriber"):
            serializer.save()
            consumer.commit(record)
    assert len(names()) == 2
    assert list(people()) == []


def test_a_commit_that_was_rolled_back_does_not_stand_in_the_way_of_the_next():
    put_message(person(1))
    put_message(person(2))
    consumer = people()
    (first, _), (second, _) = list(consumer)
    with transaction.atomic("subscriber"):
        consumer.commit(first)
        transaction.set_rollback(True, "subscriber")
    consumer.commit(second)
    assert position() == "2"


def test_types_and_versions_go_to_their_own_serializer():
    class PersonV2(PersonCopySerializer):
        VERSION = 2

        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            return super().create({**validated_data, "last_name": "of version 2"})

    consumer = people()
    consumer.register(PersonV2)
    consumer.register(CountryCopySerializer)
    put_message(person(1))
    put_message(person(2), version=2)
    put_message({"code": "FR", "name": "France", "capital": "Paris"}, kind="country")
    consumer.run()
    assert list(PersonCopy.objects.order_by("uuid").values_list("last_name", flat=True)) == ["Schmoe", "of version 2"]
    assert CountryCopy.objects.get().name == "France"


MALFORMED = {
    "no colon": b"nothing",
    "unknown format": b'xml:{"type":"person"}',
    "bad json": b'json:{"type":',
    "not utf-8": b'json:{"type":"\xff"}',
    "no type": b'json:{"version":1,"message":{}}',
    "no version": b'json:{"type":"person","message":{}}',
    "no message": b'json:{"type":"person","version":1}',
    "message null": b'json:{"type":"person","version":1,"message":null}',
    "a list": b"json:[]",
    "lookup argument missing": b'json:{"type":"person","version":1,"message":{"first_name":"Joe"}}',
    "truncated": b'json:{"type":"person","version":1,"message":{"uuid":"00000000-0000-4000-8000-00000',
    "oversized": b'json:{"type":"person","version":1,"message":"' + b"x" * 5_000_000 + b'"}',
    "nested deeply": b"json:" + b"[" * 100_000,
    "number of 10,000 digits": b'json:{"type":"person","version":' + b"9" * 10_000 + b',"message":{}}',
    "pickle": b"pickle:cos\nsystem\n(S'true'\ntR.",
    "empty": b"",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_is_passed_over_and_its_position_committed(value: bytes):
    put(value)
    put_message(person(1))
    people().run()
    assert names() == ["Joe"]
    assert position() == "2"


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_is_kept_as_a_dead_letter(value: bytes):
    put(value, key="k", headers=(("h", b"\xff"),))
    people().run()
    letter = DeadLetter.objects.using("subscriber").get()
    assert (letter.topic, letter.partition, letter.offset) == ("people", "0", "0")
    assert (bytes(letter.key), bytes(letter.value), letter.headers) == (b"k", value, [["h", "/w=="]])
    assert letter.reason == "InvalidMessageError"


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_raises_with_throw_errors(value: bytes):
    put(value)
    with pytest.raises(InvalidMessageError):
        people(throw_errors=True).run()
    assert position() is None


def test_of_a_member_that_comes_twice_the_last_counts():
    message = b'{"uuid":"%s","first_name":"Joe","first_name":"Jane","last_name":"x","email":""}'
    put(b'json:{"type":"country","type":"person","version":1,"message":' + message % person(1)["uuid"].encode() + b"}")
    people().run()
    assert names() == ["Jane"]
    assert not DeadLetter.objects.using("subscriber").exists()


def test_an_oversized_member_is_a_dead_letter():
    put_message(person(1, "x" * 1_000_000))
    put_message(person(2))
    people().run()
    assert names() == ["Joe"]
    assert DeadLetter.objects.using("subscriber").get().reason == "ValidationError"


def test_null_is_passed_over_where_no_key_finds_a_row():
    put(None, key=None)
    put_message(person(1))
    people().run()
    assert names() == ["Joe"]


def test_the_errors_of_an_iteration_are_those_of_django_logpipe():
    class Strict(PersonCopySerializer):
        VERSION = 3
        first_name = serializers.CharField(max_length=2)

    consumer = people(throw_errors=True)
    consumer.register(Strict)
    consumer.add_ignored_message_type("noise")
    put_message({}, kind="noise")
    put_message({}, kind="stranger")
    put_message(person(1), version=2)
    put_message(person(1, "too long"), version=3)
    for expected in (IgnoredMessageTypeError, UnknownMessageTypeError, UnknownMessageVersionError, ValidationError):
        with pytest.raises(expected) as caught:
            next(consumer)
        assert caught.value.message.topic == "people"
    with pytest.raises(StopIteration):
        next(consumer)


def test_a_record_after_one_that_raised_waits_for_it():
    put_message(person(1))
    put(b"bad")
    put_message(person(2))
    consumer = people(throw_errors=True)
    with pytest.raises(InvalidMessageError) as caught:
        consumer.run()
    assert (len(names()), position()) == (1, "1")
    consumer.commit(caught.value.message)
    consumer.run()
    assert len(names()) == 2


def test_an_unknown_type_is_passed_over_and_an_unknown_version_kept():
    put_message({}, kind="stranger")
    put_message(person(1), version=9)
    people().run()
    letter = DeadLetter.objects.using("subscriber").get()
    assert (letter.reason, letter.version) == ("UnknownMessageVersionError", 9)
    assert position() == "2"


def test_a_serializer_that_cannot_save_costs_its_record_alone():
    class Fragile(PersonCopySerializer):
        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            if validated_data["first_name"] == "bad":
                raise RuntimeError("no")
            return super().create(validated_data)

    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Fragile)
    for number, first_name in enumerate(["a", "bad", "c"]):
        put_message(person(number, first_name))
    consumer.run()
    assert names() == ["a", "c"]
    assert DeadLetter.objects.using("subscriber").get().reason == "RuntimeError"
    assert position() == "3"


def test_signals_tell_what_was_applied_and_what_failed():
    told: list[tuple[str, Any]] = []

    def applied(record: Any, instance: Any, **_: Any) -> None:
        told.append(("applied", instance.first_name))

    def failed(record: Any, error: Exception, **_: Any) -> None:
        told.append(("failed", record.offset))

    message_applied.connect(applied)
    message_failed.connect(failed)
    put_message(person(1, "Joe"))
    put(b"bad")
    try:
        people().run()
    finally:
        message_applied.disconnect(applied)
        message_failed.disconnect(failed)
    assert told == [("applied", "Joe"), ("failed", 1)]


def test_the_payload_of_a_bad_record_is_not_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    put(b'json:{"type":"person","version":1,"message":"top secret"}')
    put_message(person(1, email="top secret"))
    people().run()
    assert "people/0@0" in caplog.text
    assert "people/0@1" in caplog.text
    assert "secret" not in caplog.text


def test_one_record_costs_four_statements():
    put_message(person(1))
    consumer = people()
    consumer.run()
    put_message(person(2))
    with CaptureQueriesContext(connections["subscriber"]) as captured:
        assert consumer.run(iter_limit=1).applied == 1
    statements = [query["sql"].split()[0] for query in captured]
    # The position, the lookup, the serializer's own check that the uuid is unique, the row.
    assert [s for s in statements if s not in ("BEGIN", "COMMIT")] == ["UPDATE", "SELECT", "SELECT", "INSERT"]


def test_the_position_moves_before_any_user_code_runs():
    put_message(person(1))
    seen: list[str | None] = []

    class Looking(PersonCopySerializer):
        @classmethod
        def lookup_instance(cls, uuid: str, **kwargs: Any) -> PersonCopy | None:
            seen.append(position())
            return None

    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Looking)
    consumer.run()
    assert seen == ["1"]


def test_what_is_applied_does_not_go_back_to_its_topic_but_to_others():
    echoes: dict[str, bool] = {}

    class Echoing(PersonCopySerializer):
        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            echoes["people"] = is_echo("people", PersonCopy)
            echoes["another topic"] = is_echo("another topic", PersonCopy)
            echoes["another model"] = is_echo("people", CountryCopy)
            return super().create(validated_data)

    put_message(person(1))
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Echoing)
    consumer.run()
    assert echoes == {"people": True, "another topic": False, "another model": False}


def test_republish_lets_what_is_applied_go_back_to_its_topic():
    echoes: list[bool] = []

    class Echoing(PersonCopySerializer):
        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            echoes.append(is_echo("people", PersonCopy))
            return super().create(validated_data)

    put_message(person(1))
    consumer = Consumer("people", consumer_timeout_ms=10, republish=True)
    consumer.register(Echoing)
    consumer.run()
    assert echoes == [False]


# --- deletes ----------------------------------------------------------------------------------------------------------


def test_a_delete_message_deletes_the_row_that_the_lookup_finds():
    put_message(person(1, "Joe"))
    put_message(person(2, "Jane"))
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    people().run()
    assert names() == ["Jane"]


def test_a_delete_of_a_row_that_is_not_there_is_no_error():
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    assert people().run().applied == 1


def test_a_tombstone_deletes_the_row_of_its_key():
    put_message(person(1))
    put(None, key=person(1)["uuid"])
    people().run()
    assert names() == []


def test_the_identity_of_a_tombstone_says_its_type():
    consumer = people()
    consumer.register(CountryCopySerializer)
    put_message({"code": "FR", "name": "France", "capital": ""}, kind="country")
    put(None, key="FR", headers=Meta(identity="country:FR", operation="delete").as_headers())
    consumer.run()
    assert not CountryCopy.objects.exists()
    assert not DeadLetter.objects.using("subscriber").exists()


def test_an_iteration_hands_out_deletes_too():
    put_message(person(1))
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    consumer = people()
    for record, serializer in consumer:
        serializer.save()
        consumer.commit(record)
    assert names() == []


# --- several topics ---------------------------------------------------------------------------------------------------


def test_a_multi_consumer_is_not_held_up_by_an_idle_topic():
    countries = Consumer("countries", consumer_timeout_ms=10)
    countries.register(CountryCopySerializer)
    for number in range(5):
        put_message(person(number))
    MultiConsumer(countries, people()).run(iter_limit=5)
    assert len(names()) == 5


def test_two_consumers_of_one_topic_share_its_records():
    countries = Consumer("people", consumer_timeout_ms=10)
    countries.register(CountryCopySerializer)
    put_message({"code": "FR", "name": "France", "capital": ""}, kind="country")
    put_message(person(1))
    MultiConsumer(people(), countries).run(iter_limit=10)
    assert (CountryCopy.objects.count(), PersonCopy.objects.count()) == (1, 1)
