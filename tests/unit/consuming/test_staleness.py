"""The staleness guard: no record takes a row back to an older state, or back to life."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from logpipe_signals import Consumer
from logpipe_signals.consuming import staleness
from logpipe_signals.consuming.incoming import storable, stored_identity
from logpipe_signals.consuming.loop import Tally
from logpipe_signals.envelope import Meta
from logpipe_signals.models import AppliedSequence
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import names, person, put, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def meta(sequence: int, *, number: int = 1, source: str = "a", operation: str = "upsert") -> Meta:
    return Meta(identity=f"person:{number}", source=source, sequence=sequence, operation=operation)


def put_state(first_name: str, sequence: int, *, number: int = 1, source: str = "a") -> None:
    put_message(person(number, first_name), meta=meta(sequence, number=number, source=source))


def put_delete(sequence: int, *, number: int = 1, operation: str = "delete", **place: Any) -> None:
    about = meta(sequence, number=number, operation=operation)
    put_message({"uuid": person(number)["uuid"]}, kind="person.deleted", meta=about, **place)


def run(**options: Any) -> Tally:
    consumer = Consumer("people", consumer_timeout_ms=10, **options)
    consumer.register(PersonCopySerializer)
    return consumer.run()


def test_an_older_record_is_dropped():
    put_state("new", 5)
    run()
    put_state("old", 4)
    assert run() == Tally(handled=1, stale=1)
    assert names() == ["new"]


def test_an_older_record_of_the_same_batch_is_dropped():
    put_state("new", 5)
    put_state("old", 4)
    assert run().stale == 1
    assert names() == ["new"]


def test_newer_records_of_one_batch_are_each_applied():
    for sequence in (1, 2, 3):
        put_state(f"state {sequence}", sequence)
    assert run() == Tally(handled=3, applied=3)
    assert names() == ["state 3"]


def test_versions_from_one_read_share_a_sequence_and_are_both_applied():
    put_state("first", 5)
    put_state("second", 5)
    assert run().applied == 2


def test_a_deleted_row_is_not_brought_back_by_an_older_record():
    put_state("new", 5)
    put_delete(6)
    run()
    put_state("old", 5)
    assert run().stale == 1
    assert names() == []


def test_a_deleted_row_comes_back_with_a_newer_record():
    put_delete(6)
    put_state("again", 7)
    run()
    assert names() == ["again"]


def test_a_tombstone_is_remembered():
    put_state("new", 5)
    put(None, key=person(1)["uuid"], headers=meta(6, operation="delete").as_headers())
    put_state("old", 5)
    run()
    assert names() == []


def test_sources_do_not_compare():
    put_state("of a", 5, source="a")
    put_state("of b", 1, source="b")
    assert run().applied == 2


def test_identities_that_share_a_key_do_not_compare():
    put_state("one", 5, number=1)
    put_state("two", 4, number=2)
    assert run().applied == 2


def test_a_record_without_a_sequence_is_not_guarded():
    put_state("new", 5)
    put_message(person(1, "by hand"))
    run()
    assert names() == ["by hand"]


def test_the_guard_can_be_turned_off():
    put_state("new", 5)
    put_state("old", 4)
    run(guard=False)
    assert names() == ["old"]
    assert not AppliedSequence.objects.using("subscriber").exists()


def test_a_retraction_that_arrives_after_the_row_moved_on_still_deletes_the_old_key():
    old_key, new_key = person(1)["uuid"], person(2)["uuid"]
    put_message(person(1, "old key"), meta=meta(1), key=old_key)
    put_message(person(2, "new key"), meta=meta(3), key=new_key)
    put_message({"uuid": old_key}, kind="person.deleted", meta=meta(2, operation="retract"), key=old_key)
    run()
    assert names() == ["new key"]


def test_a_retraction_of_a_key_the_row_came_back_to_is_dropped():
    key = person(1)["uuid"]
    put_message(person(1, "came back"), meta=meta(5), key=key)
    put_message({"uuid": key}, kind="person.deleted", meta=meta(2, operation="retract"), key=key)
    assert run().stale == 1
    assert names() == ["came back"]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_retraction_that_was_overtaken_by_a_later_one_spares_the_new_owner_of_the_key(bulk: bool):
    old_key, new_key = person(1)["uuid"], person(2)["uuid"]
    put_message(person(1, "first"), meta=meta(1), key=old_key)
    run(bulk=bulk)
    put_delete_of_key(old_key, sequence=5)
    put_message(person(2, "first, moved on"), meta=meta(6), key=new_key)
    put_message(person(1, "second"), meta=meta(7, number=2), key=old_key)
    run(bulk=bulk)
    put_delete_of_key(old_key, sequence=3)  # of a relay that was frozen with it in hand
    assert run(bulk=bulk) == Tally(handled=1, stale=1)
    assert names() == ["second", "first, moved on"]


def put_delete_of_key(key: str, sequence: int) -> None:
    put_message({"uuid": key}, kind="person.deleted", meta=meta(sequence, operation="retract"), key=key)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_delete_behind_what_its_row_became_under_another_key_still_deletes_its_own(bulk: bool):
    """The row was deleted, made again with another key, and the other partition was read first."""
    old_key, new_key = person(1)["uuid"], person(2)["uuid"]
    put_message(person(1, "old"), meta=meta(1), key=old_key)
    run(bulk=bulk)
    put_message(person(2, "made again"), meta=meta(3), key=new_key)
    put_message({"uuid": old_key}, kind="person.deleted", meta=meta(2, operation="delete"), key=old_key)
    assert run(bulk=bulk).stale == 0
    assert names() == ["made again"]


def test_two_deletes_of_a_row_under_two_keys_delete_both_in_either_order():
    old_key, new_key = person(1)["uuid"], person(2)["uuid"]
    put_message(person(1, "old"), meta=meta(1), key=old_key)
    run()
    put_message(person(2, "new"), meta=meta(3), key=new_key)
    put_message({"uuid": new_key}, kind="person.deleted", meta=meta(4, operation="delete"), key=new_key)
    run()
    put_message({"uuid": old_key}, kind="person.deleted", meta=meta(2, operation="delete"), key=old_key)
    run()
    assert names() == []


def test_a_delete_that_is_late_for_the_key_its_row_came_back_to_is_dropped():
    key = person(1)["uuid"]
    put_message(person(1, "came back"), meta=meta(5), key=key)
    put_message({"uuid": key}, kind="person.deleted", meta=meta(2, operation="delete"), key=key)
    assert run().stale == 1
    assert names() == ["came back"]


def test_a_delete_that_was_overtaken_while_it_was_judged_still_deletes_its_own_key(monkeypatch: pytest.MonkeyPatch):
    old_key, new_key = person(1)["uuid"], person(2)["uuid"]
    put_message(person(1, "old"), meta=meta(1), key=old_key)
    run()
    put_message(person(2, "made again"), meta=meta(3), key=new_key)
    run()
    assert names() == ["old", "made again"]
    real_read, answers = staleness._read, iter([dict[str, Any]()])

    def too_early(*args: Any, **options: Any) -> Any:
        """Answer first as if the newer mark were not committed yet."""
        answer = next(answers, None)
        return real_read(*args, **options) if answer is None else answer

    monkeypatch.setattr(staleness, "_read", too_early)
    put_message({"uuid": old_key}, kind="person.deleted", meta=meta(2, operation="delete"), key=old_key)
    run()
    assert names() == ["made again"]


class WithoutCase(serializers.ModelSerializer):
    """Finds people by their name, as a database does that compares without case."""

    MESSAGE_TYPE = "named"
    VERSION = 1
    KEY_FIELD = "last_name"

    class Meta:
        model = PersonCopy
        fields = ["uuid", "first_name", "last_name"]

    @classmethod
    def lookup_instance(cls, last_name: str, **kwargs: Any) -> PersonCopy | None:
        return PersonCopy.objects.filter(last_name__iexact=last_name).first()


@pytest.mark.parametrize("together", [False, True])
def test_a_key_that_changes_its_case_only_keeps_its_row_where_case_is_not_compared(together: bool):
    def consume() -> None:
        consumer = Consumer("people", consumer_timeout_ms=10)
        consumer.register(WithoutCase)
        consumer.run()

    put_message(person(1, last_name="Joe"), kind="named", meta=meta(1), key="Joe")
    consume()
    put_message(person(1, last_name="joe"), kind="named", meta=meta(3), key="joe")
    if not together:
        consume()
    about = {"last_name": "Joe"}
    put_message(about, kind="named.deleted", meta=meta(2, operation="retract"), key="Joe")
    consume()
    assert list(PersonCopy.objects.values_list("last_name", flat=True)) == ["joe"]


def test_a_record_that_failed_is_not_remembered_as_applied():
    put_message({**person(1), "email": "no address"}, meta=meta(5))
    assert run().failed == 1
    assert not AppliedSequence.objects.using("subscriber").exists()


@pytest.mark.parametrize("text", ["x" * 5000 + "\x00", 'a"b', "a\\b", "{a,b}", "NULL", "", "\ud800é"])
def test_an_identity_and_a_key_of_any_length_and_text_are_guarded(text: str):
    for sequence in (2, 1):
        about = Meta(identity=f"person:{text}".encode(errors="replace").decode(), source="a", sequence=sequence)
        put_message(person(1, str(sequence)), meta=about, key=about.identity)
    assert run() == Tally(handled=2, applied=1, stale=1)
    marks = AppliedSequence.objects.using("subscriber").values_list("identity", "message_key")
    assert list(marks) == [(stored_identity(about.identity), storable(about.identity))]


@pytest.mark.parametrize("records", [1, 40])
def test_the_guard_costs_one_write_a_batch(records: int):
    for number in range(records):
        put_state("x", 1, number=number)
    assert statements_of_guard(applied=records) == 1


def test_identities_with_several_records_in_a_batch_cost_one_read_more():
    for number in range(20):
        put_state("x", 1, number=number)
        put_state("y", 2, number=number)
    assert statements_of_guard(applied=40) == 2


def statements_of_guard(*, applied: int) -> int:
    with CaptureQueriesContext(connections["subscriber"]) as captured:
        assert run().applied == applied
    return len([query for query in captured if "appliedsequence" in query["sql"]])


def test_an_older_record_among_newer_ones_of_its_identity_is_dropped():
    put_state("applied", 5)
    run()
    for sequence in (4, 7):
        put_state(f"state {sequence}", sequence)
    assert run() == Tally(handled=2, applied=1, stale=1)
    assert names() == ["state 7"]
