"""Who works: a heartbeat while it runs, none when it ended, and what was killed shows as gone."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logpipe_signals import monitoring
from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.heartbeat import Heartbeat
from logpipe_signals.models import Presence
from logpipe_signals.publishing.worker import RelayWorker
from testproject.mirror.serializers import PersonCopySerializer
from tests.conftest import ChangeSettings

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class Running:
    """Something with a `stop`, run in a thread."""

    def __init__(self, run, stop) -> None:
        self._stop = stop
        self._thread = threading.Thread(target=self._run, args=[run])

    def _run(self, run) -> None:
        run()
        connections.close_all()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._thread.join(20)


def running_relay() -> Running:
    worker = RelayWorker(["default"])
    return Running(worker.run, worker.stop)


def running_consumer() -> Running:
    consumer = Consumer("people")
    consumer.register(PersonCopySerializer)
    stop = Stop()
    return Running(lambda: run_worker([consumer], WorkerOptions(), stop=stop), stop.request)


def test_a_running_relay_is_seen_with_the_lanes_it_holds(wait_until) -> None:
    with running_relay():
        wait_until(lambda: [len(relay.lanes) for relay in monitoring.relays()] == [64])
        (relay,) = monitoring.relays()
        assert (relay.host, relay.pid, relay.is_gone) == (socket.gethostname(), os.getpid(), False)
        assert monitoring.lanes() == monitoring.LaneCover(using="default", lanes=64, held=64, owners=1)


def test_a_relay_that_ends_is_not_seen_any_more(wait_until) -> None:
    with running_relay():
        wait_until(lambda: bool(monitoring.relays()))
    assert monitoring.relays() == []


def test_a_running_consumer_is_seen_with_the_partitions_it_holds(wait_until) -> None:
    from logpipe_signals.backend import dummy

    dummy.create_topic("people", partitions=2)
    with running_consumer():
        wait_until(lambda: [len(consumer.partitions) for consumer in monitoring.consumers()] == [2])
        (consumer,) = monitoring.consumers()
        assert (consumer.using, consumer.group, consumer.topics) == ("subscriber", "logpipe", ("people",))
        assert {each.topic for each in consumer.partitions} == {"people"}
    assert monitoring.consumers() == []


def test_who_missed_three_heartbeats_is_gone() -> None:
    Heartbeat("default", "relay", "killed").beat()
    assert [relay.is_gone for relay in monitoring.relays()] == [False]
    Presence.objects.update(seen_at=timezone.now() - timedelta(seconds=60))
    (relay,) = monitoring.relays()
    assert relay.is_gone
    assert relay.seen_seconds_ago == pytest.approx(60, abs=10)


def test_a_heartbeat_between_its_times_costs_no_statement() -> None:
    heartbeat = Heartbeat("default", "relay", "me")
    heartbeat.beat()
    with CaptureQueriesContext(connections["default"]) as queries:
        heartbeat.beat()
    assert len(queries) == 0


def test_a_heartbeat_costs_one_statement(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(HEARTBEAT_SECONDS=0)
    heartbeat = Heartbeat("default", "relay", "me")
    heartbeat.beat()
    with CaptureQueriesContext(connections["default"]) as queries:
        heartbeat.beat()
    assert len(queries) == 1


def test_a_heartbeat_that_finds_its_row_pruned_comes_back(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(HEARTBEAT_SECONDS=0)
    heartbeat = Heartbeat("default", "relay", "me")
    heartbeat.beat()
    Presence.objects.all().delete()
    heartbeat.beat()
    assert Presence.objects.count() == 1


def test_those_gone_for_a_day_are_forgotten_when_another_one_comes() -> None:
    Heartbeat("default", "relay", "old").beat()
    Presence.objects.update(seen_at=timezone.now() - timedelta(days=2))
    Heartbeat("default", "relay", "new").beat()
    assert [relay.name for relay in monitoring.relays()] == ["new"]


def test_a_heartbeat_without_its_table_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Presence._meta, "db_table", "not_migrated")
    Heartbeat("default", "relay", "me").beat()


def test_a_rehearsal_is_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Heartbeat, "beat", lambda self: told.append(self.name))
    consumer = Consumer("people")
    consumer.register(PersonCopySerializer)
    run_worker([consumer], WorkerOptions(dry_run=True), stop=Stop())
    assert told == []


def test_a_consumer_whose_client_cannot_be_made_waits_for_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    from logpipe_signals.consuming import feed

    stop = Stop()

    def away(subscription: object) -> None:
        stop.request()
        raise BackendUnavailable("away")

    monkeypatch.setattr(feed, "get_consumer_backend", away)
    consumer = Consumer("people")
    consumer.register(PersonCopySerializer)
    assert run_worker([consumer], WorkerOptions(), stop=stop).handled == 0
