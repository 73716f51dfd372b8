"""Where it is asked for, messages that do not fit their schema become dead letters, with the field's name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rest_framework import serializers

from logpipe_signals import Consumer, Producer, publishes
from logpipe_signals.backend import dummy
from logpipe_signals.checks import check_schemas
from logpipe_signals.consuming import routing
from logpipe_signals.exceptions import SchemaViolation
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.publishing.relay import drain
from logpipe_signals.schemas.validation import require_accepted, require_sent
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.consuming.conftest import BACKEND, person, put_message

ALL = ["default", "subscriber"]


class Shouting(serializers.ModelSerializer):
    """Says that it sends at most 3 letters, and sends what there is."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    first_name = serializers.CharField(max_length=3)

    class Meta:
        model = Person
        fields = ["uuid", "first_name"]


@pytest.fixture(autouse=True)
def _dummy_log(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
        RELAY="worker",
    )
    dummy.create_topic("people")


def _records() -> list[Any]:
    return dummy._log.topics.get("people", [[]])[0]


@pytest.mark.django_db(transaction=True, databases=ALL)
@pytest.mark.parametrize("payload", ["state", "change"])
def test_what_is_sent_and_does_not_fit_is_a_dead_letter_of_its_row_alone(
    payload: str, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(SCHEMA_VALIDATION="sent")
    publishes("people", Shouting, name="contract", payload=payload)(Person)
    Person.objects.create(first_name="Joe")
    Person.objects.create(first_name="Mary Ann")
    drain()
    letter = DeadLetter.objects.get()
    assert letter.reason == "SchemaViolation"
    assert "field 'first_name' breaks maxLength 3" in letter.error
    assert "Mary" not in letter.error
    assert len(_records()) == 1
    assert not OutboxRow.objects.exists()


@pytest.mark.django_db(transaction=True, databases=ALL)
def test_nothing_is_validated_unless_it_is_asked_for(logpipe_settings: ChangeSettings) -> None:
    publishes("people", Shouting, name="contract")(Person)
    Person.objects.create(first_name="Mary Ann")
    drain()
    assert len(_records()) == 1


@pytest.mark.django_db(databases=ALL)
def test_a_delete_is_not_held_to_the_whole_schema(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_VALIDATION="sent")
    publishes("people", Shouting, name="contract")(Person)
    Person.objects.create(first_name="Joe").delete()
    drain()
    assert [b"person.deleted" in record.value for record in _records()] == [True]


def test_a_producer_by_hand_raises(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_VALIDATION="both")
    with pytest.raises(SchemaViolation, match="first_name"):
        Producer("people", Shouting).send(Person(first_name="Mary Ann"))
    assert _records() == []


@pytest.mark.django_db(databases=ALL)
def test_what_is_received_and_does_not_fit_is_a_dead_letter(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_VALIDATION="received")
    put_message(person(1, first_name=7))  # type: ignore[arg-type]
    put_message(person(2))
    consumer = Consumer("people", consumer_timeout_ms=50)
    consumer.register(PersonCopySerializer)
    consumer.run()
    letter = DeadLetter.objects.using("subscriber").get()
    assert letter.reason == "InvalidMessageError"
    assert "field 'first_name' breaks type" in letter.error
    assert PersonCopy.objects.count() == 1


@pytest.mark.django_db(databases=ALL)
def test_without_validation_drf_takes_what_it_can_make_sense_of() -> None:
    put_message(person(1, first_name=7))  # type: ignore[arg-type]
    consumer = Consumer("people", consumer_timeout_ms=50)
    consumer.register(PersonCopySerializer)
    consumer.run()
    assert PersonCopy.objects.get().first_name == "7"


class Order(serializers.Serializer):
    number = serializers.IntegerField(min_value=1)
    lines = serializers.ListField(child=serializers.CharField())


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"number": 1}, "field 'lines' is missing"),
        ({"number": 1, "lines": ["a", 1]}, "field 'lines[]' breaks type \"string\""),
        ({"number": 0, "lines": []}, "field 'number' breaks minimum 1"),
        ({"number": 1, "lines": [], "more": 1}, "field 'more' is not known"),
        (["number"], 'the message breaks type "object"'),
    ],
)
def test_what_does_not_fit_is_named_by_field_and_rule(
    message: Any, text: str, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(SCHEMA_VALIDATION="both")
    with pytest.raises(SchemaViolation, match=re.escape(text)):
        require_sent(Order, message)


@pytest.mark.django_db(databases=ALL)
def test_whether_to_validate_is_asked_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(routing, "validates", asked.append)
    for number in range(20):
        put_message(person(number))
    consumer = Consumer("people", consumer_timeout_ms=50)
    consumer.register(PersonCopySerializer)
    assert consumer.run().applied == 20
    assert asked == ["accepted"]


def test_a_reader_passes_over_what_it_does_not_know() -> None:
    require_accepted(Order, {"number": 1, "lines": [], "more": 1})


def test_validation_without_its_packages_is_a_system_check(
    logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logpipe_settings(SCHEMA_VALIDATION="both")
    assert check_schemas() == []
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    assert [message.id for message in check_schemas()] == ["logpipe_signals.E042"]
