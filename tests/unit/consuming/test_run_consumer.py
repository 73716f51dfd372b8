"""`manage.py run_consumer`: what is declared is consumed, and a stop is clean."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from logpipe_signals import Consumer, register_consumer, subscribes
from logpipe_signals.backend.dummy import Consumer as LogConsumer
from logpipe_signals.backend.dummy import create_topic
from logpipe_signals.consuming import stopping
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.loop import Tally
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import DeadLetter, Offset
from logpipe_signals.registry import SubscriptionRegistry, subscriptions
from testproject.mirror.models import CountryCopy, PersonCopy
from testproject.mirror.serializers import CountryCopySerializer, PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def declarations() -> Iterator[None]:
    """Give each test declarations of its own."""
    before = vars(subscriptions).copy()
    vars(subscriptions).update(vars(SubscriptionRegistry()))
    yield
    vars(subscriptions).update(before)


@pytest.fixture(params=["run_consumer", "run_kafka_consumer"])
def command(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run the command under both names."""
    return lambda *args: call_command(request.param, *args)


def test_what_subscribes_and_register_consumer_declare_is_consumed(command: Callable[..., None]):
    create_topic("countries")
    subscribes("people")(PersonCopySerializer)

    @register_consumer
    def countries() -> Consumer:
        consumer = Consumer("countries")
        consumer.register(CountryCopySerializer)
        return consumer

    put_message(person(1))
    put_message({"code": "FR", "name": "France", "capital": ""}, kind="country", topic="countries")
    command("--until-caught-up")
    assert (PersonCopy.objects.count(), CountryCopy.objects.count()) == (1, 1)


def test_the_kafka_command_says_what_to_call_where_the_log_is_none_and_runs(capsys: pytest.CaptureFixture[str]):
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_kafka_consumer", "--until-caught-up")
    assert "Call manage.py run_consumer instead" in capsys.readouterr().err
    assert PersonCopy.objects.count() == 1


def test_a_project_without_consumers_is_told_how_to_declare_one():
    with pytest.raises(CommandError, match="@subscribes"):
        call_command("run_consumer")


def test_a_topic_nobody_consumes_is_named():
    subscribes("people")(PersonCopySerializer)
    with pytest.raises(CommandError, match=r"for topic peple\. Declared: people"):
        call_command("run_consumer", "--topic", "peple")


def test_max_records_ends_the_run():
    subscribes("people")(PersonCopySerializer)
    for number in range(3):
        put_message(person(number))
    call_command("run_consumer", "--max-records", "2")
    assert PersonCopy.objects.count() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_work_in_hand(number: signal.Signals):
    class Interrupted(PersonCopySerializer):
        def create(self, validated_data: dict[str, Any]) -> PersonCopy:
            os.kill(os.getpid(), number)
            return super().create(validated_data)

    subscribes("people")(Interrupted)
    put_message(person(1))
    call_command("run_consumer")
    assert PersonCopy.objects.count() == 1
    assert Offset.objects.using("subscriber").get(topic="people").position == "1"


@pytest.mark.parametrize("second_signal", [True, False])
def test_user_code_that_hangs_is_broken_off(second_signal: bool, monkeypatch: pytest.MonkeyPatch):
    class Hanging(PersonCopySerializer):
        def save(self, **kwargs: Any) -> PersonCopy:
            found = super().save(**kwargs)
            if found.first_name == "hangs":
                os.kill(os.getpid(), signal.SIGTERM)
                if second_signal:
                    os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait()
            return found

    monkeypatch.setattr(stopping, "LONGEST_STOP_SECONDS", 60.0 if second_signal else 0.05)
    before = signal.getsignal(signal.SIGALRM)
    subscribes("people")(Hanging)
    put_message(person(1, "Joe"))
    call_command("run_consumer", "--until-caught-up")
    put_message(person(2, "hangs"))
    call_command("run_consumer")
    assert PersonCopy.objects.get().first_name == "Joe"
    assert Offset.objects.using("subscriber").get(topic="people").position == "1"
    assert not DeadLetter.objects.using("subscriber").exists()
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_restart_that_meets_a_log_that_is_away_still_happens(monkeypatch: pytest.MonkeyPatch):
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_consumer", "--until-caught-up")
    PersonCopy.objects.all().delete()
    starts = LogConsumer._starts
    away = [BackendUnavailable("by the test")]

    def once_away(consumer: LogConsumer, stored: Any) -> Any:
        if away:
            raise away.pop()
        return starts(consumer, stored)

    monkeypatch.setattr(LogConsumer, "_starts", once_away)
    call_command("run_consumer", "--until-caught-up", "--from", "beginning")
    assert PersonCopy.objects.count() == 1


def test_from_beginning_reads_everything_again():
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_consumer", "--until-caught-up")
    PersonCopy.objects.all().delete()
    call_command("run_consumer", "--until-caught-up", "--from", "beginning")
    assert PersonCopy.objects.count() == 1


def test_groups_have_positions_of_their_own():
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_consumer", "--until-caught-up", "--group", "one")
    PersonCopy.objects.all().delete()
    call_command("run_consumer", "--until-caught-up", "--group", "two")
    assert PersonCopy.objects.count() == 1


def test_the_liveness_file_is_touched(tmp_path: Path):
    subscribes("people")(PersonCopySerializer)
    call_command("run_consumer", "--until-caught-up", "--liveness-file", str(tmp_path / "alive"))
    assert (tmp_path / "alive").exists()


def test_from_end_passes_over_what_is_there():
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_consumer", "--until-caught-up", "--from", "end")
    call_command("run_consumer", "--until-caught-up")
    assert not PersonCopy.objects.exists()


def test_from_a_time_passes_over_what_is_older():
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    now = datetime.now(UTC)
    put_message(person(2))
    call_command("run_consumer", "--until-caught-up", "--from", now.isoformat())
    assert [str(row.uuid) for row in PersonCopy.objects.all()] == [person(2)["uuid"]]


def test_from_a_time_after_everything_holds_when_no_record_comes():
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    call_command("run_consumer", "--until-caught-up", "--from", tomorrow.isoformat())
    call_command("run_consumer", "--until-caught-up")
    assert not PersonCopy.objects.exists()


def test_from_a_time_does_not_read_what_is_older(monkeypatch: pytest.MonkeyPatch):
    subscribes("people")(PersonCopySerializer)
    read: list[Any] = []
    fetch = LogConsumer.fetch
    monkeypatch.setattr(LogConsumer, "fetch", lambda *args: read.append(found := fetch(*args)) or found)
    put_message(person(1))
    call_command("run_consumer", "--until-caught-up", "--from", (datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert not read


@pytest.mark.parametrize("begin", ["end", "2100-01-01T00:00+00:00"])
def test_a_dry_run_from_elsewhere_moves_no_position(begin: str):
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    call_command("run_consumer", "--dry-run", "--from", begin)
    assert Offset.objects.using("subscriber").get(topic="people").position is None


def test_from_nonsense_is_refused():
    subscribes("people")(PersonCopySerializer)
    with pytest.raises(CommandError, match="say beginning, end, or a time"):
        call_command("run_consumer", "--from", "yesterday")


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]):
    subscribes("people")(PersonCopySerializer)
    put_message(person(1))
    put_message(person(2, email="no address"))
    call_command("run_consumer", "--dry-run")
    assert "2 records: 1 would be applied, 1 failed." in capsys.readouterr().out
    assert not PersonCopy.objects.exists()
    assert Offset.objects.using("subscriber").get(topic="people").position is None
    assert not DeadLetter.objects.using("subscriber").exists()


def test_two_workers_share_the_partitions_and_apply_each_record_once():
    create_topic("people", partitions=4)
    subscribes("people")(PersonCopySerializer)
    for number in range(40):
        put_message(person(number), key=str(number))
    stops = [Stop(), Stop()]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run_in_thread, stop) for stop in stops]
        wait_until(lambda: PersonCopy.objects.count() == 40)
        for stop in stops:
            stop.request()
        tallies = [run.result() for run in runs]
    assert sum(tally.applied for tally in tallies) == 40


def run_in_thread(stop: Stop) -> Tally:
    try:
        return run_worker(declared_consumers(), WorkerOptions(), stop=stop)
    finally:
        connections.close_all()


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come to pass."
        time.sleep(0.02)
