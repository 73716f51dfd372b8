"""Publisher to subscriber without a broker: records are delivered, and a log in memory does what brokers do."""

from __future__ import annotations

import pytest

from logpipe_signals import Consumer
from logpipe_signals.exceptions import DeclarationError, UnknownMessageTypeError, ValidationError
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.models.dead_letters import DeadLetterState
from logpipe_signals.testing import (
    MemoryLog,
    capture_published,
    deliver,
    make_delete,
    make_record,
    make_tombstone,
    record_of,
)
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
UUID = "00000000-0000-4000-8000-000000000001"
JOE = {"uuid": UUID, "first_name": "Joe", "last_name": "Schmoe", "email": ""}


# --- deliver ----------------------------------------------------------------------------------------------------------


def test_a_record_is_delivered_to_what_is_subscribed() -> None:
    delivery = deliver(make_record("people", "person", JOE))
    assert delivery.applied == [PersonCopy.objects.get(uuid=UUID)]


def test_a_record_that_is_invalid_raises() -> None:
    with pytest.raises(ValidationError, match="first_name"):
        deliver(make_record("people", "person", {**JOE, "first_name": None}))


def test_or_becomes_what_the_policy_says() -> None:
    delivery = deliver(make_record("people", "person", {**JOE, "first_name": None}), raise_errors=False)
    assert [type(error) for error in delivery.errors] == [ValidationError]
    assert DeadLetter.objects.using("subscriber").get().reason == "ValidationError"


def test_deletes_and_tombstones_are_delivered() -> None:
    for delete in (make_delete("people", "person", {"uuid": UUID}), make_tombstone("people", UUID)):
        deliver(make_record("people", "person", JOE))
        assert deliver(delete).applied == [None]
        assert not PersonCopy.objects.exists()


def test_a_stale_record_is_told() -> None:
    new, old = (
        make_record("people", "person", JOE, identity="person:1", source="s", sequence=sequence) for sequence in (2, 1)
    )
    delivery = deliver(new, old)
    assert (len(delivery.applied), delivery.stale) == (1, [old])


def test_a_serializer_that_is_subscribed_to_nothing_may_be_named() -> None:
    assert len(deliver(make_record("elsewhere", "person", JOE), to=PersonCopySerializer).applied) == 1
    consumer = Consumer("elsewhere")
    with pytest.raises(UnknownMessageTypeError):
        deliver(make_record("elsewhere", "person", JOE), to=consumer)
    assert consumer.throw_errors is False


def test_a_topic_without_subscription_is_an_error() -> None:
    with pytest.raises(DeclarationError, match="elsewhere"):
        deliver(make_record("elsewhere", "person", JOE))


def test_a_record_is_made_of_a_row_through_its_serializer() -> None:
    record = record_of("people", PersonSerializer, Person(first_name="Joe", last_name="Schmoe"))
    assert deliver(record).applied[0].first_name == "Joe"
    assert record.key_text == str(PersonCopy.objects.get().uuid)


def test_what_was_captured_is_delivered() -> None:
    with capture_published() as published:
        Person.objects.create(first_name="Joe", last_name="Schmoe")
    deliver(*published)
    assert PersonCopy.objects.get().first_name == "Joe"


# --- a log in memory --------------------------------------------------------------------------------------------------


def joe() -> Person:
    return Person.objects.create(first_name="Joe", last_name="Schmoe")


def test_what_is_saved_arrives(logpipe_log: MemoryLog) -> None:
    saved = joe()
    assert logpipe_log.run().applied == 1
    assert PersonCopy.objects.get().uuid == saved.uuid
    logpipe_log.published("people").assert_one(fields={"first_name": "Joe"})


def test_what_was_consumed_is_not_consumed_again(logpipe_log: MemoryLog) -> None:
    joe()
    logpipe_log.run()
    assert logpipe_log.run().handled == 0


def test_a_broker_that_is_away_loses_nothing(logpipe_log: MemoryLog) -> None:
    with logpipe_log.away():
        joe()
        assert logpipe_log.relay().sent == 0
        assert OutboxRow.objects.count() == 1
    logpipe_log.run()
    assert PersonCopy.objects.count() == 1


def test_lost_acknowledgements_are_duplicates_that_change_nothing(logpipe_log: MemoryLog) -> None:
    with logpipe_log.losing_acknowledgements():
        joe()
        logpipe_log.relay()
    tally = logpipe_log.run()
    assert len(logpipe_log.records("people")) == 2
    assert (tally.handled, PersonCopy.objects.count()) == (2, 1)


def test_a_message_the_broker_refuses_is_a_dead_letter_and_holds_back_no_other(logpipe_log: MemoryLog) -> None:
    with logpipe_log.refusing(lambda message: message.message["first_name"] == "Joe", type="person"):
        joe()
        Person.objects.create(first_name="Jane", last_name="Schmoe")
        assert logpipe_log.relay().set_aside == 1
    assert DeadLetter.objects.get().state == DeadLetterState.OPEN
    logpipe_log.consume()
    assert PersonCopy.objects.get().first_name == "Jane"


def test_late_duplicates_out_of_order_change_nothing(logpipe_log: MemoryLog) -> None:
    saved = joe()
    logpipe_log.relay()
    saved.first_name = "Joseph"
    saved.save()
    logpipe_log.run()
    for seed in range(3):
        logpipe_log.redeliver("people", seed=seed)
    logpipe_log.run()
    assert PersonCopy.objects.get().first_name == "Joseph"


def test_records_are_put_on_the_log_by_hand(logpipe_log: MemoryLog) -> None:
    logpipe_log.put(make_record("people", "person", JOE), make_delete("people", "person", {"uuid": UUID}))
    assert logpipe_log.consume(["people"]).applied == 2
    assert not PersonCopy.objects.exists()
