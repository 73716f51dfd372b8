"""The worker: waits while the log or the database is away, drains when told, hands its lanes over at the end."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Lease, OutboxRow
from logpipe_signals.publishing import wake
from logpipe_signals.publishing import worker as worker_module
from logpipe_signals.publishing.worker import RelayWorker, published_aliases
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.publishing.relaying.conftest import ScriptedProducer, enqueue
from tests.zoo.models import TextKeyed

pytestmark = pytest.mark.django_db(transaction=True)
PEOPLE = "people.person:people"


@pytest.fixture
def pending() -> Person:
    joe = Person.objects.create(first_name="Joe")
    OutboxRow.objects.all().delete()
    enqueue(joe, PEOPLE)
    return joe


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "backoff_seconds", lambda failures: 0.01)


def test_only_aliases_that_may_hold_a_published_model_are_relayed(settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.unit.publishing.relaying.test_worker.DefaultOnly"]
    assert published_aliases() == ["default"]


class DefaultOnly:
    """A router that keeps everything published on one side."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return None if app_label == "logpipe_signals" else db == "default"


def test_drain_ends_when_nothing_is_pending(log: ScriptedProducer, pending: Person) -> None:
    report = RelayWorker(["default"]).drain()
    assert (report.sent, report.retired) == (1, 1)


def test_drain_waits_for_a_log_that_is_away(
    log: ScriptedProducer, pending: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.away = True
    worker = RelayWorker(["default"])
    failures = iter([True, True, False])

    def back_after_three(count: int) -> float:
        log.away = next(failures)
        return 0.01

    monkeypatch.setattr(worker_module, "backoff_seconds", back_after_three)
    assert worker.drain().sent == 1


def test_while_the_log_is_away_a_warning_says_how_old_the_oldest_change_is(
    log: ScriptedProducer, pending: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    OutboxRow.objects.update(created_at=timezone.now() - timedelta(minutes=7))
    log.away = True
    worker = RelayWorker(["default"])

    def back(count: int) -> float:
        log.away = False
        return 0.01

    monkeypatch.setattr(worker_module, "backoff_seconds", back)
    worker.drain()

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(re.search(r"The oldest pending change of 'default' is 42\d s old", text) for text in warnings), warnings


def test_a_database_error_costs_a_connection_and_nothing_else(
    log: ScriptedProducer, pending: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = RelayWorker(["default"])
    failures = iter([OperationalError("the connection was cut")])
    claim = worker.relays[0].claims.claim

    def flaky(*args: object, **kwargs: object) -> object:
        if (failure := next(failures, None)) is not None:
            raise failure
        return claim(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(worker.relays[0].claims, "claim", flaky)
    assert worker.drain().sent == 1


def test_a_stop_hands_the_lanes_over(
    log: ScriptedProducer, pending: Person, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    worker = RelayWorker(["default"])
    thread = threading.Thread(target=run_and_close, args=[worker])
    thread.start()
    wait_until(lambda: len(log.sent) == 1)
    worker.stop()
    thread.join(10)
    assert not Lease.objects.exclude(owner="").exists()


def run_and_close(worker: RelayWorker) -> None:
    worker.run()
    connections.close_all()


@pytest.mark.postgres
def test_a_commit_wakes_an_idle_relay_on_postgresql(
    log: ScriptedProducer, wait_until: Callable[[Callable[[], bool]], None], logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(RELAY_POLL_SECONDS=3600)
    worker = RelayWorker(["default"])
    waiter = worker._waiter
    waiter._pause_seconds = 3600.0
    thread = threading.Thread(target=run_and_close, args=[worker])
    thread.start()
    try:
        wait_until(lambda: bool(waiter._listeners))
        Person.objects.create(first_name="Joe")
        wait_until(lambda: len(log.sent) == 1)
    finally:
        worker.stop()
        thread.join(10)


@pytest.mark.postgres
def test_many_commits_in_a_moment_notify_once(django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake.clock, "seconds", lambda: 1000.0)
    monkeypatch.setattr(wake, "_notified_at", {})
    with django_assert_num_queries(1):
        for _ in range(10):
            wake.notify("default")


def test_a_second_word_to_stop_after_the_end_is_no_error(log: ScriptedProducer) -> None:
    worker = RelayWorker(["default"])
    worker.stop()
    worker.run()
    reused, other_end = os.pipe()
    os.set_blocking(reused, False)

    worker.stop()

    with pytest.raises(BlockingIOError):
        os.read(reused, 1)
    os.close(reused)
    os.close(other_end)


def test_a_topic_that_is_away_holds_back_no_other_topic(
    log: ScriptedProducer, logpipe_settings: ChangeSettings, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    logpipe_settings(RELAY_BATCH_SIZE=10)
    log.refuse = lambda message: BackendUnavailable("no leader") if message.topic == "people" else None
    Person.objects.bulk_create(Person(first_name=str(number)) for number in range(200))
    TextKeyed.objects.create(word="after them")
    worker = RelayWorker(["default"])
    thread = threading.Thread(target=run_and_close, args=[worker])
    thread.start()
    try:
        wait_until(lambda: len(log.sent) == 1)
        log.refuse = lambda message: None
        wait_until(lambda: len(log.sent) == 201)
    finally:
        worker.stop()
        thread.join(10)
