"""A replay and a running consumer wait for each other where both work on one identity, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from logpipe_signals import Consumer
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.replay import ReplayReport, replay
from logpipe_signals.envelope import Meta
from logpipe_signals.models import DeadLetter
from logpipe_signals.testing.services.ports import wait_until
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(databases="__all__", transaction=True)]


class Gate:
    """Where user code waits: for the letter "slow", until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.is_broken = True


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def consumer(gate: Gate) -> Consumer:
    class Gated(PersonCopySerializer):
        def save(self, **kwargs: Any) -> Any:
            if gate.is_broken:
                raise RuntimeError("broken")
            found = super().save(**kwargs)
            if self.validated_data["first_name"] == "slow":
                gate.reached.set()
                assert gate.opened.wait(60)
            return found

    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Gated)
    return consumer


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Return a function that runs another on a connection of its own."""

    def own(do: Callable[[], Any]) -> Any:
        try:
            return do()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        yield lambda do: threads.submit(own, do)


def put(number: int, name: str, sequence: int) -> None:
    """Put a state of a person; 0: one that the guard knows nothing about."""
    meta = Meta(identity=f"person:{number}", source="a", sequence=sequence) if sequence else None
    put_message(person(number, name), meta=meta)


def letters_of(consumer: Consumer, gate: Gate, *, guarded: bool) -> None:
    """Leave a letter for each of two people, and mend what was broken."""
    for number in (1, 2):
        put(number, "old", 1 if guarded else 0)
    consumer.run()
    assert DeadLetter.objects.using("subscriber").filter(state="open").count() == 2
    gate.is_broken = False


def replayed(consumer: Consumer, number: int) -> ReplayReport:
    letters = DeadLetter.objects.using("subscriber").order_by("pk")
    chosen = letters.values_list("pk", flat=True)[number - 1]
    return replay(letters.filter(pk=chosen), MultiConsumer(consumer).routes())


def somebody_waits_for_a_lock() -> bool:
    with connections["subscriber"].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        return cursor.fetchone() is not None


@pytest.mark.parametrize("guarded", [True, False])
def test_a_replay_beside_a_consumer_at_work_on_another_identity_does_not_wait(
    consumer: Consumer, gate: Gate, in_thread: Any, guarded: bool
) -> None:
    letters_of(consumer, gate, guarded=guarded)
    put(1, "slow", 2 if guarded else 0)
    running = in_thread(consumer.run)
    assert gate.reached.wait(60)

    assert len(in_thread(lambda: replayed(consumer, 2)).result(60).replayed) == 1

    gate.opened.set()
    assert running.result(60).applied == 1
    assert set(PersonCopy.objects.values_list("first_name", flat=True)) == {"slow", "old"}


@pytest.mark.parametrize("guarded", [True, False])
def test_a_replay_beside_a_consumer_at_work_on_its_identity_waits_and_is_refused(
    consumer: Consumer, gate: Gate, in_thread: Any, guarded: bool
) -> None:
    letters_of(consumer, gate, guarded=guarded)
    put(1, "slow", 2 if guarded else 0)
    running = in_thread(consumer.run)
    assert gate.reached.wait(60)

    replaying = in_thread(lambda: replayed(consumer, 1))
    assert wait_until(somebody_waits_for_a_lock, timeout_seconds=60)
    gate.opened.set()

    assert len(replaying.result(60).closed) == 1
    assert running.result(60).applied == 1
    assert PersonCopy.objects.get().first_name == "slow"


def test_a_consumer_waits_for_a_replay_of_its_identity(consumer: Consumer, gate: Gate, in_thread: Any) -> None:
    put(1, "slow", 0)
    consumer.run()
    gate.is_broken = False
    replaying = in_thread(lambda: replayed(consumer, 1))
    assert gate.reached.wait(60)

    put(1, "new", 0)
    running = in_thread(consumer.run)
    assert wait_until(somebody_waits_for_a_lock, timeout_seconds=60)
    gate.opened.set()

    assert len(replaying.result(60).replayed) == 1
    assert running.result(60).applied == 1
    assert PersonCopy.objects.get().first_name == "new"
