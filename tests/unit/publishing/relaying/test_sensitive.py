"""What a serializer calls sensitive stays out of what the publisher's side stores and logs of an error."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers

from logpipe_signals.exceptions import MessageRejected
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.publishing.relay import Relay
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db
SECRET = "joe.schmoe@example.com"


def texts() -> str:
    letter = DeadLetter.objects.get()
    return letter.error + letter.traceback


def test_a_serializer_that_quotes_the_row_leaves_a_letter_without_it(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quote(self: Any, person: Any) -> Any:
        raise ValueError(f"{person.email} of {person.first_name} is not to be sent")

    Person.objects.create(first_name="Joe", email=SECRET)
    monkeypatch.setattr(PersonSerializer, "to_representation", quote)

    relay.drain()

    assert SECRET not in texts()
    assert "of Joe is not to be sent" in texts()


def test_a_broker_that_quotes_the_message_leaves_a_letter_without_it(relay: Relay, log: ScriptedProducer) -> None:
    Person.objects.create(first_name="Joe", email=SECRET)
    log.refuse = lambda message: MessageRejected(f"No such thing: {message.value!r}")

    relay.drain()

    assert SECRET not in texts()
    assert SECRET.encode() in bytes(DeadLetter.objects.get().value or b"")


def test_what_capture_says_of_a_deleted_row_is_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def quote(self: Any, value: Any) -> Any:
        raise ValueError(f"no uuid for {SECRET}")

    joe = Person.objects.create(first_name="Joe", email=SECRET)
    OutboxRow.objects.all().delete()
    monkeypatch.setattr(serializers.UUIDField, "to_representation", quote)

    joe.delete()

    payload = bytes(OutboxRow.objects.get().payload or b"")
    assert b"no uuid for [redacted]" in payload
    assert "cannot serialise a row" in caplog.text
    assert SECRET not in caplog.text
