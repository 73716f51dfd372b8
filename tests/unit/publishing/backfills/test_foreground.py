"""Jobs in the foreground: chunks beside the relaying, where there is a connection for them, and what may go wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction

from logpipe_signals import signals
from logpipe_signals.backend import dummy
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Backfill, OutboxRow
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import foreground
from logpipe_signals.publishing.backfills.foreground import Foreground
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.lanes import relay_id
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.publishing.backfills.conftest import PEOPLE, MakePeople, names_sent, stored
from tests.zoo.models import Animal

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "subscriber"]),
    pytest.mark.postgres,
    pytest.mark.usefixtures("in_memory", "impatient"),
]
ROWS = 40


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "backoff_seconds", lambda failures: 0.01)
    monkeypatch.setattr("logpipe_signals.publishing.backfills.runner.LOOK_SECONDS", 0.01)


@pytest.fixture
def people_sent() -> Iterator[threading.Event]:
    """Return what is set when the log has taken a message about somebody."""
    heard = threading.Event()

    def hear(**_: Any) -> None:
        heard.set()

    signals.message_sent.connect(hear)
    yield heard
    signals.message_sent.disconnect(hear)


def run(**options: Any) -> Any:
    owner = relay_id()
    job = backfills.start(PEOPLE, owner=owner, chunk_rows=10)
    Foreground([job], owner=owner, **options).run()
    return stored(job)


def first_step(monkeypatch: pytest.MonkeyPatch, does: Any) -> None:
    """Let the first turn at writing chunks do something before."""
    step, before = Runner.step, [does]

    def hurt(self: Runner) -> int:
        if before:
            before.pop()()
        return step(self)

    monkeypatch.setattr(Runner, "step", hurt)


def test_a_live_change_is_sent_while_chunks_are_written(
    make_people: MakePeople, people_sent: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(ROWS)
    Person.objects.create(first_name="live", last_name="x")
    in_time: list[bool] = []
    first_step(monkeypatch, lambda: in_time.append(people_sent.wait(30)))
    job = run()
    assert in_time == [True]
    assert job.state == BackfillState.DONE
    assert names_sent()[0] == "live"


def test_a_connection_that_breaks_under_a_chunk_loses_and_repeats_nothing(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(ROWS)

    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    write, chunks = Runner._write, []

    def hurt(self: Runner, run: Any) -> int:
        chunks.append(threading.current_thread() is not threading.main_thread())
        if len(chunks) == 2:
            cut()
        return write(self, run)

    monkeypatch.setattr(Runner, "_write", hurt)
    told: list[str] = []
    job = run(tell=told.append)
    assert chunks[0], "beside the relaying, until the database failed"
    assert "Trying again." in told[0]
    assert job.state == BackfillState.DONE
    assert sorted(names_sent()) == sorted(f"p{number}" for number in range(ROWS))


def test_who_stops_it_waits_for_the_chunk_in_hand_and_leaves_no_thread(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(ROWS)
    stop = threading.Event()
    first_step(monkeypatch, stop.set)
    job = run(stop=stop)
    assert job.state == BackfillState.PAUSED
    assert job.rows_done == 10
    assert len(names_sent()) + OutboxRow.objects.count() == 10
    assert not [thread for thread in threading.enumerate() if "-aside" in thread.name]


def test_no_thread_outlives_its_job(make_people: MakePeople, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "WATCH_SECONDS", 0)
    make_people(10)
    with suspend_publishing():
        Animal.objects.using("subscriber").create(code="ape")
    owner = relay_id()
    jobs = [
        backfills.start(PEOPLE, owner=owner),
        backfills.start("zoo.animal:animals", using="subscriber", owner=owner),
    ]
    seen: list[int] = []

    def watch(job: Backfill, progress: Any) -> None:
        if job.using == "subscriber":
            seen.append(sum("chunks-aside" in thread.name for thread in threading.enumerate()))

    Foreground(jobs, owner=owner, watch=watch).run()
    assert max(seen) <= 1


# --- the log is away --------------------------------------------------------------------------------------------------


@pytest.fixture
def log_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready(self: Any) -> None:
        raise BackendUnavailable("no broker")

    monkeypatch.setattr(dummy.Producer, "ready", ready)


@pytest.mark.usefixtures("log_away")
def test_a_job_of_no_rows_ends_all_the_same() -> None:
    assert run().state == BackfillState.DONE


@pytest.mark.usefixtures("log_away")
def test_a_job_that_is_cancelled_meanwhile_ends(make_people: MakePeople) -> None:
    make_people(ROWS)
    told: list[str] = []

    def cancel(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            backfills.cancel(Backfill.objects.get())

    assert run(tell=cancel).state == BackfillState.CANCELLED


@pytest.mark.usefixtures("log_away")
def test_its_lease_is_kept(make_people: MakePeople, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(LEASE_SECONDS=0.5)
    make_people(ROWS)
    stop, owners = threading.Event(), []
    until = time.monotonic() + 2

    def look(text: str) -> None:
        owners.append(backfills.runner_of(Backfill.objects.get()))
        if time.monotonic() > until:
            stop.set()

    run(tell=look, stop=stop)
    assert len(set(owners)) == 1
    assert owners[0]


def test_a_job_goes_on_by_the_relays_that_do_reach_the_log(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(300)

    def relayed_elsewhere(self: Foreground, using: str) -> bool:
        OutboxRow.objects.all().delete()
        raise BackendUnavailable("no broker, from here")

    monkeypatch.setattr(Foreground, "_relay", relayed_elsewhere)
    job = run()
    assert (job.state, job.rows_done) == (BackfillState.DONE, 300)


# --- the database refuses ---------------------------------------------------------------------------------------------


def test_tries_at_a_chunk_come_ever_more_seldom(make_people: MakePeople, monkeypatch: pytest.MonkeyPatch) -> None:
    make_people(ROWS)
    tries: list[int] = []
    stop = threading.Event()

    def backoff(failures: int) -> float:
        tries.append(failures)
        if len(tries) == 5:
            stop.set()
        return 0.01

    def step(self: Runner) -> int:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(foreground, "backoff_seconds", backoff)
    monkeypatch.setattr(Runner, "step", step)
    run(stop=stop)
    assert tries == [1, 2, 3, 4, 5]


def test_where_there_is_no_third_connection_chunks_and_relaying_take_turns(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(RELAY_BATCH_SIZE=100)
    make_people(2_000)
    wrapper: Any = type(connections["default"])
    get, close, free = wrapper.get_new_connection, wrapper._close, threading.BoundedSemaphore(2)

    def get_new_connection(self: Any, parameters: Any) -> Any:
        if not free.acquire(timeout=0.1):
            raise OperationalError("too many connections for role")
        return get(self, parameters)

    def closed(self: Any) -> None:
        if self.connection is not None:
            free.release()
        close(self)

    connections.close_all()
    monkeypatch.setattr(wrapper, "get_new_connection", get_new_connection)
    monkeypatch.setattr(wrapper, "_close", closed)
    told: list[str] = []
    job = run(tell=told.append)
    connections.close_all()
    assert job.state == BackfillState.DONE
    assert len(set(names_sent())) == 2_000
    assert len(told) < 10


@pytest.mark.slow
def test_the_second_ctrl_c_ends_a_chunk_that_waits_for_a_lock(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(ROWS)
    locked, free, waiting = threading.Event(), threading.Event(), threading.Event()

    def migrate() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE people_person IN ACCESS EXCLUSIVE MODE")
            locked.set()
            free.wait(60)
        connection.close()

    def press_twice() -> None:
        waiting.wait(60)
        for _ in range(2):
            time.sleep(0.3)  # Until the statement waits in the database; and the two are two.
            os.kill(os.getpid(), signal.SIGINT)

    other, hands = threading.Thread(target=migrate), threading.Thread(target=press_twice)

    def lock_and_press() -> None:
        other.start()
        assert locked.wait(60)
        hands.start()
        waiting.set()

    first_step(monkeypatch, lock_and_press)
    try:
        with pytest.raises(KeyboardInterrupt):
            call_command("republish_all", "people", stdout=StringIO(), stderr=StringIO())
        job = Backfill.objects.get()
        assert (job.state, backfills.runner_of(job)) == (BackfillState.PAUSED, "")
        assert not free.is_set()
    finally:
        free.set()
        other.join()
        hands.join()
