"""Where there is a second connection, chunks are written beside the relaying: what for, and what it may not lose."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from logpipe_signals import signals
from logpipe_signals.models import OutboxRow
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import foreground
from logpipe_signals.publishing.backfills.foreground import Foreground
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.lanes import relay_id
from testproject.people.models import Person
from tests.unit.publishing.backfills.conftest import PEOPLE, MakePeople, names_sent, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.usefixtures("in_memory", "impatient"),
]
ROWS = 40


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "backoff_seconds", lambda failures: 0.01)


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
    assert all(chunks)
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
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("logpipe-aside")]
