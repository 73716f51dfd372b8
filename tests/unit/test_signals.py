"""Public signals: each is sent with what is documented, and a receiver that raises hurts nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.dispatch import Signal

from logpipe_signals import signals
from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import Gap, TopicPartition
from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.consuming.gaps import gap_policy
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected
from logpipe_signals.models import DeadLetter
from logpipe_signals.publishing import inline
from logpipe_signals.publishing import replay as publisher_replay
from logpipe_signals.publishing.relay import drain
from logpipe_signals.publishing.worker import RelayWorker
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from tests.conftest import ChangeSettings

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
BACKEND = "logpipe_signals.backend.dummy"
PUBLIC = {name: value for name, value in vars(signals).items() if isinstance(value, Signal)}
Received = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
        RELAY="worker",
    )
    dummy.create_topic("people", partitions=1)


@contextmanager
def listening() -> Iterator[Received]:
    """Collect what is sent, each signal's arguments with its sender."""
    received: Received = {}
    receivers = []
    for name, signal in PUBLIC.items():

        def receive(signal: Signal, _name: str = name, **values: Any) -> None:
            received.setdefault(_name, []).append(values)

        receivers.append((signal, receive))
        signal.connect(receive)
    try:
        yield received
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


def documented() -> dict[str, set[str]]:
    """Return each signal's arguments as the module's docstring has them."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|:(?!$)[^\n]*", "", signals.__doc__ or "")
    found: dict[str, set[str]] = {}
    names: list[str] = []
    for line in text.splitlines():
        words = re.findall(r"\w+", line)
        if line.startswith("    ") and words and words[0] in PUBLIC:
            names = [word for word in words if word in PUBLIC]
            words = words[len(names) :]
        if names and line.startswith("    "):
            arguments = set(re.findall(r"\b([a-z_]+)\b(?=\s*(?:,|$|=))", re.sub(r"sender=[^,]*", "", line)))
            for name in names:
                found.setdefault(name, set()).update(arguments - set(PUBLIC))
    return found


def consume() -> None:
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    consumer.run()


def save(first_name: str = "Joe") -> Person:
    return Person.objects.create(first_name=first_name, last_name="Schmoe", email="joe@example.com")


def test_every_signal_is_documented() -> None:
    assert set(documented()) == set(PUBLIC)


def test_sending_is_announced_by_message_and_by_batch() -> None:
    with listening() as received:
        joe = save()
        drain("default")
    (message,), (batch,) = received["message_sent"], received["batch_relayed"]
    assert (message["sender"].name, message["topic"], message["key"]) == (
        "people.person:people",
        "people",
        str(joe.uuid),
    )
    assert (batch["alias"], batch["sent"], batch["retired"]) == ("default", 1, 1)
    assert batch["sent_by_type"] == {("people", "person"): 1}
    (latency,) = batch["latencies_seconds"]["people"]
    assert 0 <= latency < 60


def test_the_latency_of_a_change_counts_from_its_save() -> None:
    with listening() as received:
        save()
        time.sleep(0.3)
        drain("default")
    (latency,) = received["batch_relayed"][0]["latencies_seconds"]["people"]
    assert latency > 0.25


def test_without_a_listener_no_age_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    # A process that served metrics once listens until it ends.
    monkeypatch.setattr(signals.batch_relayed, "receivers", [])
    save()
    with CaptureQueriesContext(connection) as queries:
        drain("default")
    claims = [query["sql"] for query in queries if "age_seconds" in query["sql"]]
    assert claims
    assert not any("created_at" in sql for sql in claims)


def test_applying_is_announced_by_message_and_by_batch() -> None:
    save()
    drain("default")
    with listening() as received:
        consume()
    (message,), (batch,), (moved,) = (received[n] for n in ("message_applied", "batch_applied", "position_moved"))
    assert message["instance"] == PersonCopy.objects.get()
    assert (batch["group"], batch["applied"], batch["failed"], batch["dropped"]) == ("logpipe", 1, 0, 0)
    assert batch["applied_by_type"] == {"person": 1}
    assert 0 <= batch["latencies_seconds"][0] < 60
    assert (moved["topic"], moved["position"]) == ("people", 1)
    assert received["partitions_assigned"][0]["partitions"] == [TopicPartition("people", "0")]


def test_what_is_older_than_what_was_applied_is_announced_as_dropped() -> None:
    joe = save()
    drain("default")
    joe.save()
    drain("default")
    topic = dummy._log.topics["people"][0]
    topic.append(topic[0]._replace(offset=2))
    with listening() as received:
        consume()
    assert [values["record"].offset for values in received["message_dropped"]] == [2]


def test_a_dead_letter_is_announced_when_it_comes_and_when_it_is_superseded(monkeypatch: pytest.MonkeyPatch) -> None:
    joe = save()
    drain("default")
    with listening() as received, monkeypatch.context() as broken:
        broken.setattr(PersonCopySerializer, "validate", lambda self, data: 1 / 0, raising=False)
        consume()
    assert [type(values["error"]) for values in received["message_failed"]] == [ZeroDivisionError]
    added = {"side": "consumer", "topic": "people", "state": "open", "count": 1, "sender": None}
    assert received["dead_letters_added"] == [added]
    joe.save()
    drain("default")
    with listening() as received:
        consume()
    assert received["dead_letters_closed"] == [{**added, "state": "superseded"}]


def test_a_change_that_cannot_be_sent_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, messages: Any, **kwargs: object) -> Any:
        from logpipe_signals.backend.base import Delivered, Sent

        return Delivered([Sent(error=MessageRejected("too large"))] * len(messages))

    joe = save()
    with listening() as received, monkeypatch.context() as broken:
        broken.setattr(dummy.Producer, "submit", refuse)
        drain("default")
    (failed,) = received["send_failed"]
    assert (failed["permanent"], failed["topic"]) == (True, "people")
    added = {"side": "publisher", "topic": "people", "state": "open", "count": 1, "sender": None}
    assert received["dead_letters_added"] == [added]
    with listening() as received:
        publisher_replay.replay(DeadLetter.objects.all())
    assert received["dead_letters_closed"] == [{**added, "state": "replayed"}]
    DeadLetter.objects.update(state="open")
    with listening() as received:
        publisher_replay.skip(DeadLetter.objects.all())
    assert received["dead_letters_closed"] == [{**added, "state": "skipped"}]
    DeadLetter.objects.update(state="open")
    with listening() as received:
        joe.save()
        drain("default")
    assert received["dead_letters_closed"] == [{**added, "state": "superseded"}]


def test_a_relay_says_when_it_starts_and_when_it_stops() -> None:
    save()
    with listening() as received:
        RelayWorker(["default"]).drain()
    assert [values["alias"] for values in received["relay_started"]] == ["default"]
    assert received["relay_started"] == received["relay_stopped"]


def test_a_consumer_says_when_it_starts_and_when_it_stops() -> None:
    consumer = Consumer("people")
    consumer.register(PersonCopySerializer)
    with listening() as received:
        run_worker([consumer], WorkerOptions(until_caught_up=True), stop=Stop())
    assert received["consumer_started"] == [{"sender": None, "group": "logpipe", "topics": ["people"]}]
    assert received["consumer_started"] == received["consumer_stopped"]
    assert [values["group"] for values in received["partitions_revoked"]] == ["logpipe"]


def test_a_log_that_is_away_is_announced(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: object, *args: object, **kwargs: object) -> None:
        raise BackendUnavailable("away")

    logpipe_settings(RELAY="inline")
    monkeypatch.setattr(dummy.Producer, "submit", away)
    monkeypatch.setattr(inline.sweeper, "start", lambda using: None)
    try:
        with listening() as received:
            save()
    finally:
        inline.breaker.reset()
    assert [(values["side"], str(values["error"])) for values in received["log_lost"]] == [("publisher", "away")]


def test_a_gap_is_announced() -> None:
    consumer = Consumer("people")
    found = gap_policy({"people": consumer.routes})
    with listening() as received:
        found(Gap(topic_partition=TopicPartition("people", "0"), expected=3, found=7))
    assert received["gap_found"] == [{"sender": None, "topic": "people", "partition": "0", "expected": 3, "found": 7}]


def test_a_parked_record_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    joe = save()
    drain("default")
    joe.save()
    drain("default")
    consumer = Consumer("people", consumer_timeout_ms=10, park=True)
    consumer.register(PersonCopySerializer)
    monkeypatch.setattr(PersonCopySerializer, "validate", lambda self, data: 1 / 0, raising=False)
    with listening() as received:
        consumer.run()
    assert [values["record"].offset for values in received["message_parked"]] == [1]
    states = [values["state"] for values in received["dead_letters_added"]]
    assert sorted(states) == ["open", "parked"]


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_receiver_that_raises_hurts_nobody(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def explode(**values: Any) -> None:
        raise RuntimeError("a receiver's own trouble")

    PUBLIC[name].connect(explode)
    try:
        save()
        RelayWorker(["default"]).drain()
        consume()
        signals.announce(PUBLIC[name], None)
    finally:
        PUBLIC[name].disconnect(explode)
    assert PersonCopy.objects.count() == 1
    assert "a receiver's own trouble" in caplog.text


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_arguments_are_those_that_are_documented(name: str, everything_received: Received) -> None:
    for values in everything_received.get(name, []):
        assert set(values) - {"sender"} == documented()[name], name


@pytest.fixture
def everything_received() -> Received:
    with listening() as received:
        save()
        RelayWorker(["default"]).drain()
        consumer = Consumer("people")
        consumer.register(PersonCopySerializer)
        run_worker([consumer], WorkerOptions(until_caught_up=True), stop=Stop())
    return received
