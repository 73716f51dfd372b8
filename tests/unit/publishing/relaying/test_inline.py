"""Inline: saving is all a newcomer does; the broker's troubles are never the saver's."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from logpipe_signals.backend.base import Delivery, Message, Sent
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Lease, OutboxRow
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing import inline
from logpipe_signals.publishing.inline import breaker, sweeper
from logpipe_signals.publishing.worker import RelayWorker
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.publishing.relaying.conftest import ScriptedProducer
from tests.zoo.models import Address, Order, TextKeyed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _inline(_worker_mode: None, logpipe_settings: ChangeSettings) -> Iterator[None]:
    logpipe_settings(RELAY="inline", SWEEP_SECONDS=3600)
    breaker.reset()
    yield
    sweeper.stop()
    breaker.reset()


def test_a_save_is_on_the_log_when_it_returns(log: ScriptedProducer) -> None:
    Person.objects.create(first_name="Joe")
    assert [body["message"]["first_name"] for body in log.bodies()] == ["Joe"]
    assert not OutboxRow.objects.exists()


def test_who_shows_a_saved_row_is_on_the_log_when_the_save_returns(log: ScriptedProducer) -> None:
    address = Address.objects.create(street="old")
    orders = [Order.objects.create(number=f"{number}", address=address) for number in range(12)]
    log.sent.clear()

    Address(pk=address.pk, street="new").save()

    assert sorted(body["message"]["id"] for body in log.bodies()) == [order.pk for order in orders]
    assert {body["message"]["street"] for body in log.bodies()} == {"new"}
    assert not OutboxRow.objects.exists()


def test_many_saves_of_one_transaction_leave_after_its_commit(log: ScriptedProducer) -> None:
    with transaction.atomic():
        for number in range(20):
            Person.objects.create(first_name=f"p{number}")
        assert log.sent == []
    assert len(log.sent) == 20


def test_what_is_rolled_back_is_not_sent(log: ScriptedProducer) -> None:
    with transaction.atomic():
        Person.objects.create(first_name="kept")
        with transaction.atomic():
            Person.objects.create(first_name="undone")
            transaction.set_rollback(True)
    assert [body["message"]["first_name"] for body in log.bodies()] == ["kept"]


def test_a_save_succeeds_while_the_broker_is_away(log: ScriptedProducer) -> None:
    log.away = True
    joe = Person.objects.create(first_name="Joe")
    assert Person.objects.filter(pk=joe.pk).exists()
    assert OutboxRow.objects.count() == 1


def test_after_one_failure_saves_do_not_ask_the_broker(log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    log.away = True
    Person.objects.create(first_name="Joe")
    log.away = False
    Person.objects.create(first_name="Jane")
    assert log.sent == [], "the breaker is open"


def test_the_sweeper_sends_what_was_left_behind_and_closes_the_breaker(log: ScriptedProducer) -> None:
    log.away = True
    Person.objects.create(first_name="Joe")
    log.away = False

    sweeper.sweep("default")

    assert len(log.sent) == 1
    assert not breaker.is_open


def test_a_hook_that_raises_never_reaches_the_saver(log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(inline, "Relay", broken)
    Person.objects.create(first_name="Joe")
    assert OutboxRow.objects.count() == 1


def test_lanes_another_process_holds_are_left_to_it(log: ScriptedProducer) -> None:
    Lease.objects.all().delete()
    Lease.objects.ensure(LeaseKind.LANE, [str(lane) for lane in range(8)])
    Lease.objects.take(LeaseKind.LANE, [str(lane) for lane in range(8)], owner="another", lease_seconds=60)

    Person.objects.create(first_name="Joe")

    assert log.sent == []
    assert OutboxRow.objects.count() == 1


def test_lanes_are_given_back_after_each_save(log: ScriptedProducer) -> None:
    Person.objects.create(first_name="Joe")
    assert not Lease.objects.of_kind(LeaseKind.LANE).exclude(owner="").exists()


def test_the_sweeper_thread_finds_what_a_killed_process_left(
    log: ScriptedProducer, logpipe_settings: ChangeSettings, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    logpipe_settings(RELAY="worker")
    Person.objects.create(first_name="Joe")
    logpipe_settings(RELAY="inline", SWEEP_SECONDS=0.01)

    sweeper.start("default")

    wait_until(lambda: len(log.sent) == 1)


def test_the_sweeper_ends_when_told_and_starts_again(log: ScriptedProducer) -> None:
    sweeper.start("default")
    assert any(thread.name == "logpipe-sweeper" for thread in threading.enumerate())
    sweeper.stop()
    assert not any(thread.name == "logpipe-sweeper" for thread in threading.enumerate())


def test_an_inline_save_in_a_transaction_of_the_caller_sends_nothing_before_its_commit(log: ScriptedProducer) -> None:
    with transaction.atomic():
        Person.objects.create(first_name="Joe")
        assert connection.in_atomic_block
        assert log.sent == []


class Unanswered(Delivery):
    """A batch that the log never acknowledges."""

    waited: ClassVar[list[float]] = []

    def __init__(self, count: int) -> None:
        self._count = count

    def wait(self, timeout_seconds: float) -> list[Sent]:
        self.waited.append(timeout_seconds)
        return [Sent(error=BackendUnavailable("no answer"))] * self._count

    @property
    def done(self) -> bool:
        return False


def test_a_save_waits_for_a_silent_log_no_longer_than_it_may(
    log: ScriptedProducer, logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up_after: list[float] = []

    def submit(messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        given_up_after.append(timeout_seconds)
        return Unanswered(len(messages))

    monkeypatch.setattr(Unanswered, "waited", [])
    monkeypatch.setattr(log, "submit", submit)
    logpipe_settings(RELAY="inline", SWEEP_SECONDS=3600, INLINE_WAIT_SECONDS=0.5)

    Person.objects.create(first_name="Joe")

    assert max(given_up_after) <= 0.5, "the client has to give the messages up by then, or they arrive later"
    assert max(Unanswered.waited) <= 0.5
    assert OutboxRow.objects.count() == 1


def test_the_sweeper_outlives_a_database_that_is_away_too(
    log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(using: str) -> float:
        raise OperationalError("the database is away")

    log.away = True
    Person.objects.create(first_name="Joe")
    monkeypatch.setattr(inline, "oldest_pending_seconds", lost)

    sweeper._sweep_robustly("default")

    assert "The log is away" in caplog.text


def test_an_alias_that_is_written_without_end_leaves_the_sweeper_time_for_the_others(
    log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(RELAY="worker")
    joe = Person.objects.create(first_name="Joe")
    plain = log.submit

    def submit_and_write(messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        if len(log.sent) > 2000:
            pytest.fail("the sweep does not end")
        joe.save()
        return plain(messages, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(log, "submit", submit_and_write)
    monkeypatch.setattr(inline, "MOST_SWEEP_SECONDS", 0.1)

    sweeper.sweep("default")

    assert OutboxRow.objects.count() == 1


def test_a_topic_that_is_away_comes_last_at_the_next_sweep(
    log: ScriptedProducer, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(RELAY="worker", RELAY_BATCH_SIZE=10)
    log.refuse = lambda message: BackendUnavailable("no leader") if message.topic == "people" else None
    Person.objects.bulk_create(Person(first_name=str(number)) for number in range(200))
    TextKeyed.objects.create(word="after them")

    sweeper._sweep_robustly("default")
    assert log.sent == []
    sweeper._sweep_robustly("default")

    assert [message.key for message in log.sent] == ["after them"]
    assert OutboxRow.objects.count() == 200


@pytest.mark.sqlite
def test_no_thread_sweeps_a_database_in_this_processes_memory(
    log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: True)

    Person.objects.create(first_name="Joe")

    assert len(log.sent) == 1
    assert not any(thread.name == "logpipe-sweeper" for thread in threading.enumerate())


def test_a_fork_while_the_sweeper_starts_leaves_the_child_no_lock_to_wait_for() -> None:
    with sweeper._lock:
        child = os.fork()
        if not child:
            os._exit(0 if sweeper._lock.acquire(blocking=False) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_while_the_log_is_away_the_sweeper_says_how_old_the_oldest_change_is(
    log: ScriptedProducer, caplog: pytest.LogCaptureFixture
) -> None:
    log.away = True
    Person.objects.create(first_name="Joe")
    OutboxRow.objects.update(created_at=timezone.now() - timedelta(minutes=7))

    sweeper._sweep_robustly("default")

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(re.search(r"the oldest pending change of 'default' is 42\d s old", text) for text in warnings), warnings


# --- commits by hand --------------------------------------------------------------------------------------------------


@pytest.fixture
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every commit be the project's own."""
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)
    connection.close()
    yield
    transaction.rollback()
    monkeypatch.undo()
    connection.close()


@pytest.mark.usefixtures("_by_hand")
def test_what_was_committed_by_hand_is_sent_by_the_sweeper(
    log: ScriptedProducer, logpipe_settings: ChangeSettings, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    logpipe_settings(SWEEP_SECONDS=0.05)
    Person.objects.create(first_name="undone")
    transaction.rollback()
    Person.objects.create(first_name="Joe")
    transaction.commit()

    wait_until(lambda: bool(log.sent))

    assert [body["message"]["first_name"] for body in log.bodies()] == ["Joe"]
    assert connection.run_on_commit == [], "hooks that never run pile up"


@pytest.mark.usefixtures("_by_hand")
def test_a_worker_commits_what_it_retired(log: ScriptedProducer, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(RELAY="worker")
    Person.objects.create(first_name="Joe")
    transaction.commit()

    def relay() -> None:
        RelayWorker(["default"]).drain()
        connections.close_all()

    worker = threading.Thread(target=relay)
    worker.start()
    worker.join()

    assert len(log.sent) == 1
    assert not OutboxRow.objects.exists()
