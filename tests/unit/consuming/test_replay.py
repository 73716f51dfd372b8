"""Replay: a dead letter is applied once its cause is mended, and never takes a row back."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals import Consumer, subscribes
from logpipe_signals.envelope import Meta
from logpipe_signals.models import DeadLetter
from logpipe_signals.registry import SubscriptionRegistry, subscriptions
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import names, person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def broken() -> Iterator[dict[str, bool]]:
    """Subscribe a serializer that fails while this says so."""
    state = {"broken": True}

    class Breakable(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            if state["broken"] and self.validated_data["last_name"] == "breaks":
                raise RuntimeError("broken")
            return super().save(**kwargs)

    before = vars(subscriptions).copy()
    vars(subscriptions).update(vars(SubscriptionRegistry()))
    subscribes("people")(Breakable)
    yield state
    vars(subscriptions).update(before)


def consume(**options: Any) -> None:
    consumer = Consumer("people", consumer_timeout_ms=10, **options)
    consumer.register(next(iter(subscriptions)).serializer_class)
    consumer.run()


def put_breaking(name: str, sequence: int = 0, number: int = 1, *, last_name: str = "breaks") -> None:
    source = "a" if sequence else ""
    meta = Meta(identity=f"person:{number}", source=source, sequence=sequence)
    put_message(person(number, name, last_name=last_name), meta=meta)


def replay(*args: str) -> str:
    out = StringIO()
    call_command("replay_dead_letters", *args, stdout=out)
    return out.getvalue()


def states() -> list[str]:
    return list(DeadLetter.objects.using("subscriber").order_by("pk").values_list("state", flat=True))


def test_a_letter_is_applied_when_its_cause_is_mended(broken: dict[str, bool]):
    put_breaking("Joe")
    consume()
    broken["broken"] = False
    assert "1 replayed" in replay()
    assert (names(), states()) == (["Joe"], ["replayed"])


def test_a_letter_that_fails_again_stays_open_with_its_new_error():
    put_breaking("Joe")
    consume()
    with pytest.raises(CommandError, match="failed again"):
        replay()
    letter = DeadLetter.objects.using("subscriber").get()
    assert (letter.state, letter.attempts, letter.error) == ("open", 2, "broken")


def test_a_stale_letter_is_refused_and_closed(broken: dict[str, bool]):
    put_breaking("old", 1)
    consume()
    DeadLetter.objects.using("subscriber").update(identity="")  # so that nothing supersedes it
    put_breaking("new", 2, last_name="holds")
    consume()
    broken["broken"] = False
    assert "1 stale" in replay()
    assert (names(), states()) == (["new"], ["superseded"])


def test_a_letter_is_replayed_once(broken: dict[str, bool]):
    put_breaking("Joe")
    consume()
    broken["broken"] = False
    replay()
    assert "0 replayed" in replay()


def test_parked_changes_follow_in_order(broken: dict[str, bool]):
    for sequence, name in enumerate(["a", "b", "c"], 1):
        put_breaking(name, sequence, last_name="breaks" if name == "a" else "holds")
    consume(park=True)
    assert states() == ["open", "parked", "parked"]
    broken["broken"] = False
    assert "3 replayed" in replay()
    assert names() == ["c"]


def test_parked_changes_wait_while_the_one_before_them_fails():
    put_breaking("a")
    put_breaking("b", last_name="holds")
    consume(park=True)
    with pytest.raises(CommandError):
        replay()
    assert states() == ["open", "parked"]
    assert "1 skipped" in replay("--skip", "--reason", "RuntimeError")
    assert "1 replayed" in replay()
    assert names() == ["b"]


def test_letters_are_chosen_by_their_row(broken: dict[str, bool]):
    put_breaking("Joe", number=1)
    put_breaking("Jane", number=2)
    consume()
    broken["broken"] = False
    replay("--identity", "person:2")
    assert names() == ["Jane"]
