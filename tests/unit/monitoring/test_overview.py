"""Lag, dead letters, and everything at once."""

from __future__ import annotations

import json

import pytest

from logpipe_signals import monitoring
from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import Message
from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Audit, AuditFinding, Backfill, DeadLetter, OutboxRow
from logpipe_signals.monitoring import letters
from testproject.mirror.serializers import PersonCopySerializer

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def put_people(count: int) -> None:
    person = {"first_name": "Joe", "last_name": "Schmoe", "email": ""}
    for number in range(count):
        message = {**person, "uuid": f"00000000-0000-4000-8000-{number:012d}"}
        value = b"json:" + json.dumps({"type": "person", "version": 1, "message": message}).encode()
        dummy.Producer().submit([Message(topic="people", key="k", value=value)], timeout_seconds=1)


def consume(count: int) -> None:
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    assert consumer.run(iter_limit=count).applied == count


def put_letter(**values: object) -> None:
    DeadLetter.objects.using("subscriber").create(
        **{"side": "consumer", "topic": "people", "reason": "E", "error": "", **values}
    )


def test_lag_is_the_logs_end_less_the_position() -> None:
    dummy.create_topic("people", partitions=1)
    put_people(5)
    consume(2)
    (partition,) = monitoring.lag().partitions
    assert (partition.group, partition.topic, partition.partition) == ("logpipe", "people", "0")
    assert (partition.position, partition.records) == ("2", 3)
    assert monitoring.lag().records == 3


def test_a_log_that_is_away_costs_the_numbers_and_not_the_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    dummy.create_topic("people", partitions=1)
    put_people(2)
    consume(1)

    def away(*args: object, **kwargs: object) -> None:
        raise BackendUnavailable("The log is away.")

    monkeypatch.setattr(dummy.Consumer, "lag", away)
    report = monitoring.lag()
    assert report.problem == "The log is away."
    assert [(each.position, each.records) for each in report.partitions] == [("1", None)]
    assert report.records is None
    assert "The log is away." in monitoring.overview().problems


def test_a_recent_lag_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = dummy.Consumer.lag.__func__

    def count(cls: object, positions: object, **kwargs: object) -> object:
        asked.append(positions)
        return real(cls, positions, **kwargs)

    monkeypatch.setattr(dummy.Consumer, "lag", classmethod(count))
    dummy.create_topic("people", partitions=1)
    put_people(1)
    consume(1)
    monitoring.recent_lag(max_age_seconds=0)
    assert monitoring.recent_lag() == monitoring.recent_lag()
    assert len(asked) == 1


def test_dead_letters_are_counted_by_side_state_and_topic() -> None:
    for values in ({}, {"state": "parked"}, {"topic": "cities"}, {}, {"state": "skipped"}):
        put_letter(**values)
    found = {(each.side, each.state, each.topic): each.count for each in monitoring.dead_letters("subscriber")}
    assert found == {
        ("consumer", "open", "people"): 2,
        ("consumer", "parked", "people"): 1,
        ("consumer", "open", "cities"): 1,
    }
    assert monitoring.dead_letters("subscriber", states=["skipped"])[0].count == 1


def test_many_dead_letters_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "MOST_COUNTED", 3)
    for _ in range(5):
        put_letter()
    (count,) = monitoring.dead_letters("subscriber")
    assert (count.count, count.is_exact) == (3, False)


def test_the_overview_looks_at_every_database() -> None:
    put_letter()
    overview = monitoring.overview()
    assert overview.databases == ("default", "subscriber")
    assert {each.using for each in overview.lanes} == {"default", "subscriber"}
    assert overview.dead_letters_waiting == 1
    assert overview.problems == ()


def test_a_database_without_tables_is_named_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    put_letter()
    monkeypatch.setattr(OutboxRow._meta, "db_table", "not_migrated")
    overview = monitoring.overview(["default"])
    assert "migrate logpipe_signals --database=default" in overview.problems[0]


def test_the_newest_audit_of_each_topic_is_told_with_what_differs() -> None:
    audit = {"group": "g", "topic": "people", "message_type": "person", "version": 1, "source": "s", "rounds": 2}
    Audit.objects.using("subscriber").create(run="old", **audit)
    new = Audit.objects.using("subscriber").create(run="new", **audit)
    for number, (kind, state) in enumerate(
        [("missing", "confirmed"), ("missing", "confirmed"), ("extra", "confirmed"), ("different", "suspected")]
    ):
        AuditFinding.objects.using("subscriber").create(audit=new, key_hash=number, kind=kind, state=state, round=2)
    (told,) = monitoring.audits("subscriber")
    assert (told.run, told.missing, told.extra, told.different) == ("new", 2, 1, 0)


def test_an_unfinished_backfill_is_told_with_its_rate_and_what_is_left() -> None:
    values = {"publication": "people.person:people", "rows_done": 100, "rows_total": 300, "seconds_run": 10.0}
    Backfill.objects.create(state="running", **values)
    Backfill.objects.create(state="done", **values)
    (told,) = monitoring.backfills()
    assert (told.topic, told.state, told.rows_a_second, told.seconds_left) == ("people", "running", 10.0, 20.0)
