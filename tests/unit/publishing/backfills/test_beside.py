"""run_relay runs the jobs that wait, beside its relaying, and says that it would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import ProgrammingError, connection

from logpipe_signals.models import Lease
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import beside
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.worker import RelayWorker
from logpipe_signals.testing.services.ports import wait_until
from tests.unit.publishing.backfills.conftest import PEOPLE, MakePeople, names_sent, stored

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "subscriber"]),
    pytest.mark.usefixtures("in_memory"),
]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "LOOK_SECONDS", 0.05)


@pytest.fixture
def relay(in_memory: None) -> Iterator[None]:
    """Relay in a thread, with jobs beside it."""
    worker = RelayWorker(["default"])

    def work() -> None:
        with beside.beside(["default"]):
            worker.run()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    worker.stop()
    thread.join(20)


def has(condition: Callable[[], bool]) -> bool:
    return wait_until(condition, timeout_seconds=20)


@pytest.mark.usefixtures("relay")
def test_a_job_that_somebody_started_is_run_to_its_end(make_people: MakePeople) -> None:
    make_people(25)
    job = backfills.start(PEOPLE, chunk_rows=10)
    assert has(lambda: stored(job).state == BackfillState.DONE)
    assert sorted(names_sent()) == sorted(f"p{n}" for n in range(25))


@pytest.mark.usefixtures("relay")
def test_others_see_that_somebody_would_run_a_job() -> None:
    assert has(lambda: len(backfills.runners("default")) == 1)
    assert backfills.runners("subscriber") == []


def test_a_relay_that_ends_leaves_its_jobs_and_its_name(make_people: MakePeople) -> None:
    make_people(25)
    job = backfills.start(PEOPLE, rate=10)
    with beside.beside(["default"]):
        assert has(lambda: stored(job).rows_done > 0)
    assert (stored(job).state, backfills.runner_of(job)) == (BackfillState.WAITING, "")
    assert not Lease.objects.of_kind(LeaseKind.RUNNER).exists()


def test_a_table_that_is_not_migrated_yet_is_waited_for(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, failures = Runner.take, iter([ProgrammingError("no such table")])

    def taking(self: Runner) -> object:
        for failure in failures:
            raise failure
        return take(self)

    monkeypatch.setattr(Runner, "take", taking)
    make_people(2)
    job = backfills.start(PEOPLE)
    with beside.beside(["default"]):
        assert has(lambda: stored(job).rows_done == 2)
