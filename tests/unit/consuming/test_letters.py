"""Dead letters: superseded by a later state, or with later changes parked behind them."""

from __future__ import annotations

from typing import Any

import pytest

from logpipe_signals import Consumer
from logpipe_signals.envelope import Meta
from logpipe_signals.models import DeadLetter
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import names, person, put, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class Picky(PersonCopySerializer):
    """Does not take everybody."""

    def save(self, **kwargs: Any) -> Any:
        if self.validated_data["first_name"] == "bad":
            raise RuntimeError("no")
        return super().save(**kwargs)


class PickyV2(Picky):
    """The next version."""

    VERSION = 2


def consumer(*classes: type[Picky], **options: Any) -> Consumer:
    made = Consumer("people", consumer_timeout_ms=10, **options)
    for cls in classes or (Picky,):
        made.register(cls)
    return made


def states() -> list[str]:
    return list(DeadLetter.objects.using("subscriber").order_by("pk").values_list("state", flat=True))


def test_a_later_good_record_supersedes_the_letter_of_its_identity_only():
    put_message(person(1, "bad"))
    put_message(person(2, "bad"))
    consumer().run()
    put_message(person(1, "good"))
    consumer().run()
    assert states() == ["superseded", "open"]


def test_a_record_without_identity_supersedes_nothing():
    class Nameless(Picky):
        KEY_FIELD = None
        lookup_instance = None

    put_message(person(1, "bad"))
    put(b"garbage")
    consumer(Nameless).run()
    put_message(person(2, "good"))
    assert consumer(Nameless).run().applied == 1
    assert states() == ["open", "open"]


def test_a_later_good_record_of_the_same_batch_supersedes_too():
    put_message(person(1, email="bad"))
    put_message(person(1, "good"))
    consumer().run()
    assert states() == []
    assert names() == ["good"]


def test_an_earlier_good_record_supersedes_nothing():
    put_message(person(1, "good"))
    put_message(person(1, email="bad"))
    consumer().run()
    assert states() == ["open"]


def test_a_version_without_a_consumer_waits_for_it():
    put_message(person(1, "of version 2"), version=2, meta=Meta(identity="person:1"))
    put_message(person(1, "of version 1"), meta=Meta(identity="person:1"))
    consumer().run()
    assert states() == ["open"]
    put_message(person(1, "of version 2"), version=2, meta=Meta(identity="person:1"))
    consumer(Picky, PickyV2).run()
    assert states() == ["superseded"]


def test_a_delete_supersedes_every_version():
    put_message(person(1), version=2, meta=Meta(identity="person:1"))
    consumer().run()
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted", meta=Meta(identity="person:1"))
    consumer().run()
    assert states() == ["superseded"]


def test_changes_park_behind_one_that_failed_and_others_go_on():
    for number, name in [(1, "bad"), (1, "second"), (2, "other"), (1, "third")]:
        put_message(person(number, name))
    tally = consumer(park=True).run()
    assert (tally.applied, tally.failed, tally.parked) == (1, 1, 2)
    assert states() == ["open", "parked", "parked"]
    assert names() == ["other"]


def test_messages_that_say_they_are_changes_park_without_being_told():
    meta = Meta(identity="person:1", payload="change")
    for name in ("bad", "second"):
        put_message(person(1, name), meta=meta)
    consumer().run()
    assert states() == ["open", "parked"]


def test_changes_park_behind_a_letter_of_an_earlier_run():
    put_message(person(1, "bad"))
    consumer(park=True).run()
    put_message(person(1, "second"))
    assert consumer(park=True).run().parked == 1


def test_changes_park_behind_an_invalid_one_of_their_batch():
    put_message(person(1, email="bad"))
    put_message(person(1, "second"))
    consumer(park=True).run()
    assert states() == ["open", "parked"]


def test_text_that_a_database_refuses_is_kept_as_text():
    put(b'json:{"type":"person","version":1,"message":{"uuid":"\\u0000\\ud800"}}', headers=(("\x00", b"\x00"),))
    put_message(person(1, "good"))
    consumer().run()
    assert len(states()) == 1
    assert names() == ["good"]
