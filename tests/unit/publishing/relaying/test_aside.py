"""In front of a backlog a thread retires and claims beside the relay: nothing is lost by it, whatever happens to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction

from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.models import Lease, OutboxRow
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.models.outbox import OutboxQuerySet
from logpipe_signals.publishing import worker as worker_module
from logpipe_signals.publishing.aside import Aside
from logpipe_signals.publishing.claim import Claims
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.publishing.worker import RelayWorker
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]
BATCH = 10
MakeRelay = Callable[..., Relay]


@pytest.fixture(autouse=True)
def backlog(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of people that wait, five batches of them."""
    logpipe_settings(RELAY_BATCH_SIZE=BATCH)
    monkeypatch.setattr(worker_module, "backoff_seconds", lambda failures: 0.01)
    names = [str(number) for number in range(5 * BATCH)]
    Person.objects.bulk_create(Person(first_name=name) for name in names)
    return names


@pytest.fixture
def relay(make_relay: MakeRelay) -> Iterator[Relay]:
    relay = make_relay(threaded=True)
    yield relay
    relay._aside.close()


@pytest.fixture
def retiring(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Return what the next retirements do first, each its own; a test fills it."""
    first: list[Callable[[], None]] = []
    retire = OutboxQuerySet.retire

    def hurt(self: OutboxQuerySet, *args: Any, **options: Any) -> int:
        if first:
            first.pop(0)()
        return retire(self, *args, **options)

    monkeypatch.setattr(OutboxQuerySet, "retire", hurt)
    return first


def names(log: ScriptedProducer) -> list[str]:
    return sorted({body["message"]["first_name"] for body in log.bodies()}, key=int)


def fail() -> None:
    raise OperationalError("the connection was lost")


def cut() -> None:
    """End this thread's session on the server's side, as a restart or a firewall does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


# --- when it is worth while -------------------------------------------------------------------------------------------


def test_a_backlog_is_retired_beside_the_relay(relay: Relay, log: ScriptedProducer, retiring: list[Any]) -> None:
    threads: list[threading.Thread] = []
    retiring.append(lambda: threads.append(threading.current_thread()))

    relay.drain()

    assert threads != [threading.current_thread()]
    assert not OutboxRow.objects.exists()


def test_the_next_batch_is_claimed_beside_the_relay(relay: Relay, django_assert_num_queries: Any) -> None:
    relay.claims.claim(relay.lanes.numbers, limit=BATCH)

    with django_assert_num_queries(0):
        assert len(relay.claims.claim(relay.lanes.numbers, limit=BATCH)) == BATCH


def test_a_relay_that_keeps_up_has_no_thread_and_no_second_connection(
    relay: Relay, log: ScriptedProducer, retiring: list[Any]
) -> None:
    OutboxRow.objects.filter(pk__in=OutboxRow.objects.values("pk")[BATCH - 1 :]).delete()
    threads: list[threading.Thread] = []
    retiring.append(lambda: threads.append(threading.current_thread()))

    relay.drain()

    assert threads == [threading.current_thread()]


def test_the_thread_and_its_connection_end_with_the_backlog(relay: Relay, log: ScriptedProducer) -> None:
    relay.drain()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("logpipe-relay-aside")]


def test_inside_a_transaction_nothing_is_done_beside_it(relay: Relay, log: ScriptedProducer) -> None:
    with transaction.atomic():
        Person.objects.bulk_create(Person(first_name=str(number)) for number in range(50, 70))
        report = relay.drain()

    assert report.retired == 70


# --- order, and rows in flight ----------------------------------------------------------------------------------------


def test_no_row_in_flight_is_claimed_again_whatever_was_foreseen() -> None:
    aside = Aside("default", threaded=True)
    claims = Claims("default", aside)
    lanes = range(8)

    found = [row.id for _ in range(3) for row in claims.claim(lanes, limit=BATCH)]
    claims.look_at_everything()
    found += [row.id for _ in range(3) for row in claims.claim(lanes, limit=BATCH)]
    aside.close()

    assert sorted(found) == sorted(OutboxRow.objects.values_list("pk", flat=True))


def test_what_was_foreseen_for_other_lanes_is_read_anew(relay: Relay) -> None:
    relay.claims.claim(range(8), limit=BATCH)

    assert {row.lane for row in relay.claims.claim([3], limit=BATCH)} == {3}


def test_a_batch_being_retired_keeps_its_lanes_busy(
    relay: Relay, log: ScriptedProducer, retiring: list[Any], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    go_on = threading.Event()
    retiring.append(go_on.wait)
    try:
        relay.relay_batch(limit=BATCH)
        (retiring_now,) = relay._retiring

        assert relay.claims.lanes_in_flight() >= {row.lane for row in retiring_now.work.rows}
    finally:
        go_on.set()
    relay.settle_all()
    assert not relay.claims.lanes_in_flight()


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hurt", [fail, cut], ids=["fails", "is-cut"])
def test_nothing_is_lost_when_a_retirement_does_not_come_through(
    log: ScriptedProducer, retiring: list[Any], backlog: list[str], hurt: Callable[[], None]
) -> None:
    retiring.append(hurt)

    RelayWorker(["default"]).drain()

    assert names(log) == backlog
    assert not OutboxRow.objects.exists()


def test_the_rows_of_a_retirement_that_failed_stay(relay: Relay, log: ScriptedProducer, retiring: list[Any]) -> None:
    retiring.append(fail)
    relay.relay_batch(limit=BATCH)

    with pytest.raises(DatabaseError):
        relay.settle_all()

    assert OutboxRow.objects.count() == 5 * BATCH


def test_a_claim_that_failed_beside_the_relay_is_made_again(
    log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch, backlog: list[str]
) -> None:
    run = Aside.run
    failures = iter([True])

    def failing_once(self: Aside, work: Callable[[], Any]) -> Future[Any]:
        return run(self, fail if next(failures, False) else work)

    monkeypatch.setattr(Aside, "run", failing_once)

    RelayWorker(["default"]).drain()

    assert names(log) == backlog


def test_what_was_not_acknowledged_is_not_retired(relay: Relay, log: ScriptedProducer) -> None:
    log.refuse = lambda message: BackendUnavailable("no leader") if b'"7"' in (message.value or b"") else None

    relay.drain()

    (left,) = OutboxRow.objects.all()
    assert Person.objects.get(pk=left.object_id).first_name == "7"


def test_a_lease_lost_while_a_batch_is_in_flight_retires_nothing_and_sends_nothing_more(
    relay: Relay, log: ScriptedProducer
) -> None:
    submit = log.submit

    def lose_then_submit(messages: list[Message], *, timeout_seconds: float) -> Any:
        Lease.objects.of_kind(LeaseKind.LANE).update(owner="another", token=99)
        relay.lanes._deadline = 0.0
        return submit(messages, timeout_seconds=timeout_seconds)

    log.submit = lose_then_submit  # type: ignore[assignment,method-assign]
    relay.relay_batch(limit=BATCH)

    with pytest.raises(LeaseLost):
        relay.relay_batch(limit=BATCH)

    relay.recover()
    assert len(log.sent) == BATCH
    assert OutboxRow.objects.count() == 5 * BATCH


def test_a_stop_waits_for_what_is_being_retired_before_it_hands_over(
    relay: Relay, log: ScriptedProducer, retiring: list[Any]
) -> None:
    held: list[bool] = []
    retiring.append(lambda: held.append(Lease.objects.of_kind(LeaseKind.LANE).filter(owner=relay.lanes.owner).exists()))
    relay.relay_batch(limit=BATCH)

    relay.stop()

    assert held == [True]
    assert OutboxRow.objects.count() == 4 * BATCH
    assert not Lease.objects.of_kind(LeaseKind.LANE).exclude(owner="").exists()
