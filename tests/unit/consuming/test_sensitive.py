"""What a serializer calls sensitive stays out of a dead letter's texts and of the log; its bytes stay whole."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from rest_framework import serializers

from logpipe_signals import Consumer
from logpipe_signals.consuming.replay import replay
from logpipe_signals.models import DeadLetter
from logpipe_signals.registry import SubscriptionOptions
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
SECRET = "joe.schmoe@example"


class Quoting(PersonCopySerializer):
    """Quotes what it refuses, and what it could not save."""

    def validate_email(self, value: str) -> str:
        raise serializers.ValidationError(f"{value!r} is on the list of the banned")

    def save(self, **kwargs: Any) -> Any:
        raise RuntimeError(f"no mail for {self.validated_data['email']}")


class Saving(Quoting):
    """Refuses nothing, but cannot save."""

    def validate_email(self, value: str) -> str:
        return value


def read(serializer_class: Any, **options: Any) -> DeadLetter:
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.routes.add(serializer_class, SubscriptionOptions(**options))
    consumer.run()
    return DeadLetter.objects.using("subscriber").get()


def texts(letter: DeadLetter) -> str:
    return letter.error + letter.traceback


@pytest.mark.parametrize("serializer_class", [Quoting, Saving])
def test_an_error_that_quotes_a_sensitive_value_is_kept_without_it(serializer_class: Any) -> None:
    put_message(person(1, email=f"{SECRET}.com"))

    letter = read(serializer_class)

    assert SECRET not in texts(letter)
    assert "[redacted]" in letter.error
    assert "[redacted]" in letter.traceback


def test_the_bytes_stay_whole_so_that_a_replay_loses_nothing() -> None:
    put_message(person(1, email=f"{SECRET}.com"))
    letter = read(Saving)
    assert SECRET.encode() in bytes(letter.value or b"")

    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    replay(DeadLetter.objects.using("subscriber").all(), {"people": consumer.routes})

    assert PersonCopy.objects.get().email == f"{SECRET}.com"


def test_a_replay_that_fails_keeps_its_error_without_the_value() -> None:
    put_message(person(1, email=f"{SECRET}.com"))
    letter = read(Quoting)
    DeadLetter.objects.using("subscriber").update(error="", traceback="")
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Saving)

    replay(DeadLetter.objects.using("subscriber").all(), {"people": consumer.routes})

    letter.refresh_from_db()
    assert letter.reason == "RuntimeError"
    assert SECRET not in texts(letter)


def test_an_upcaster_that_quotes_the_value_is_kept_without_it() -> None:
    class Newer(PersonCopySerializer):
        VERSION = 2

    def upcast(message: Any) -> Any:
        raise KeyError(message["email"])

    put_message(person(1, email=f"{SECRET}.com"))

    letter = read(Newer, upcast={1: upcast})

    assert letter.reason == "InvalidMessageError"
    assert SECRET not in texts(letter)


def test_the_log_does_not_show_it_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="logpipe_signals")
    put_message(person(1, email=f"{SECRET}.com"))
    read(Quoting)
    assert "[redacted]" in caplog.text
    assert SECRET not in caplog.text


def test_a_pickle_is_a_dead_letter_that_nobody_has_read() -> None:
    put(b"pickle:cbuiltins\nexit\n(I7\ntR.")
    assert "pickle was refused" in read(PersonCopySerializer).error
