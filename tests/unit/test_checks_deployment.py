"""`check --deploy`: what production needs, told with its cure, and asked for no longer than a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connections, models
from django.db.migrations.recorder import MigrationRecorder

from logpipe_signals import Consumer, backend
from logpipe_signals.backend.base import Producer
from logpipe_signals.backend.bounded import within
from logpipe_signals.backend.facts import TopicFacts, kafkas_facts
from logpipe_signals.checks import (
    check_deployment,
    check_publications,
    check_running,
    check_tables,
    check_topics,
    topics,
)
from logpipe_signals.checks import tables as tables_module
from logpipe_signals.checks.subscriptions import topics_read
from logpipe_signals.conf import consumer_group
from logpipe_signals.models import Presence
from logpipe_signals.models.expressions import SecondsFromNow
from logpipe_signals.models.presence import PresenceKind
from logpipe_signals.publishing import triggers
from logpipe_signals.registry import publications, publishes, subscriptions
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.test_checks import Good, _forget_declarations, ids, only
from tests.zoo.models import Animal, PublishedPaper, Visit

__all__ = ["_forget_declarations"]

SOUND = TopicFacts(
    partitions=3,
    creation="make it",
    retention_seconds=7 * 86400.0,
    compacts=False,
    deletes=True,
    replicas=3,
    least_in_sync=2,
    largest_bytes=1_048_588,
    sent_bytes=1_048_576,
)


def changed(**changes: Any) -> TopicFacts:
    return TopicFacts(**{**SOUND.__dict__, **changes})


def judged(**changes: Any) -> list[Any]:
    return list(topics.judge("checked", changed(**changes)))


# --- topics -----------------------------------------------------------------------------------------------------------


def test_a_sound_topic() -> None:
    assert judged() == []


def test_a_topic_of_which_the_log_tells_nothing() -> None:
    assert list(topics.judge("checked", TopicFacts(partitions=1))) == []


def test_a_topic_that_nothing_makes() -> None:
    assert only(judged(partitions=0), "E061").hint == "Make it: make it"


def test_a_topic_that_brokers_would_make() -> None:
    assert "make it" in str(only(judged(partitions=0, makes_topics=True), "W061").hint)


def test_a_retention_shorter_than_an_outage(logpipe_settings: ChangeSettings) -> None:
    assert "for 24 h, and a consumer may be away for 72 h" in only(judged(retention_seconds=86400.0), "W062").msg
    logpipe_settings(LONGEST_OUTAGE_SECONDS=3600)
    assert judged(retention_seconds=86400.0) == []


def test_tombstones_on_a_topic_that_is_not_compacted() -> None:
    publishes("checked", Good, delete="tombstone")(Visit)
    assert ids(judged()) == ["W063"]
    assert judged(compacts=True) == []


def test_a_compacted_topic_of_which_a_key_has_many_records() -> None:
    shared = type("Shared", (Good,), {"KEY_FIELD": "guest"})
    publishes("checked", shared)(Visit)
    assert "several rows of zoo.Visit may share a key" in only(judged(compacts=True), "E063").msg


def test_a_compacted_topic_of_two_models() -> None:
    publishes("checked", Good)(Visit)
    publishes("checked", type("Other", (Good,), {"MESSAGE_TYPE": "other"}))(Person)
    assert "several publications" in only(judged(compacts=True), "E063").msg


def test_more_acknowledgements_than_copies() -> None:
    assert "nothing can be sent" in only(judged(replicas=1, least_in_sync=2), "E064").msg


def test_one_copy_is_enough_to_acknowledge() -> None:
    assert "three replicas" in str(only(judged(least_in_sync=1), "W064").hint)


def test_a_topic_that_takes_less_than_is_sent() -> None:
    assert "takes 1000 bytes at most" in only(judged(largest_bytes=1000), "W065").msg


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, (None, None, None)),
        ({"cleanup.policy": "delete", "retention.ms": "3600000", "retention.bytes": "-1"}, (3600.0, False, True)),
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}, (float("inf"), False, False)),
        ({"cleanup.policy": "compact", "retention.ms": "3600000"}, (float("inf"), True, False)),
        ({"cleanup.policy": "compact,delete", "retention.ms": "3600000"}, (3600.0, True, True)),
    ],
)
def test_what_kafkas_configuration_means(values: dict[str, str], told: tuple[Any, ...]) -> None:
    facts = kafkas_facts(values, partitions=1, replicas=1, makes_topics=False, topic="people", sent_bytes=1)
    assert (facts.retention_seconds, facts.compacts, facts.deletes) == told


def test_a_log_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Producer):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        @classmethod
        def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
            return within(timeout_seconds, never, "what its topics are like")

    def never() -> dict[str, TopicFacts]:
        time.sleep(3600)
        return {}

    monkeypatch.setattr(topics, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(backend, "producer_class", lambda: Silent)
    assert "did not answer within 0.05 s" in only(check_topics(), "E060").msg


@pytest.mark.parametrize("name", ["kafka", "confluent"])
def test_brokers_that_are_not_there_and_no_password_is_shown(
    logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    logpipe_settings(
        PRODUCER_BACKEND=f"logpipe_signals.backend.{name}.Producer",
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
        KAFKA_KWARGS={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "joe",
            "sasl_plain_password": "s3cret-word",
        },
    )
    monkeypatch.setattr(topics, "ANSWER_SECONDS", 2.0)
    found = only(check_topics(), "E060")
    assert "s3cret-word" not in f"{found.msg} {found.hint}"
    assert found.hint is not None


# --- who sends, who runs ----------------------------------------------------------------------------------------------


@pytest.fixture
def worker(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(RELAY="worker", PRODUCER_BACKEND="logpipe_signals.backend.database.Producer")
    logpipe_settings(CONSUMER_BACKEND="logpipe_signals.backend.database.Consumer")


@pytest.mark.usefixtures("worker")
def test_the_log_in_memory_is_for_tests(logpipe_settings: ChangeSettings) -> None:
    assert check_deployment() == []
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.dummy.Producer")
    assert "PRODUCER_BACKEND" in only(check_deployment(), "E029").msg


@pytest.mark.usefixtures("worker")
def test_pickles_that_are_read(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(ALLOW_INCOMING_PICKLE=True)
    assert "can run code here" in only(check_deployment(), "W016").msg


@pytest.mark.usefixtures("worker")
def test_inline_in_a_process_without_threads(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    logpipe_settings(RELAY="inline")
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={"module": b"town.wsgi"}))
    assert ids(check_deployment()) == ["W004", "E031"]
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={b"enable-threads": True}))
    assert ids(check_deployment()) == ["W004"]


def running(using: str, kind: str, **values: Any) -> None:
    Presence.objects.using(using).announce(kind=kind, name="one", host="here", pid=1, **values)


def gone(using: str) -> None:
    Presence.objects.using(using).update(seen_at=SecondsFromNow(-3600))


@pytest.fixture
def _no_subscriptions() -> Iterator[None]:
    declared, factories = list(subscriptions), subscriptions.factories()
    subscriptions.clear()
    yield
    subscriptions.clear()
    subscriptions._declared[:] = declared
    for factory in factories:
        subscriptions.add_factory(factory)


@pytest.mark.usefixtures("worker", "_no_subscriptions")
@pytest.mark.django_db(databases=["default", "subscriber"])
def test_no_relay_runs() -> None:
    running("subscriber", PresenceKind.RELAY)
    assert "on database 'default'" in only(check_running(), "W017").msg
    running("default", PresenceKind.RELAY)
    assert check_running() == []
    gone("default")
    assert ids(check_running()) == ["W017"]


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_no_consumer_runs() -> None:
    wanted = sorted(topics_read())
    assert all(repr(topic) in only(check_running(), "W018").msg for topic in wanted)
    running(
        "subscriber", PresenceKind.CONSUMER, group=consumer_group(), serves={"topics": wanted[1:], "partitions": []}
    )
    assert f"for topic {wanted[0]!r}:" in only(check_running(), "W018").msg
    Presence.objects.using("subscriber").update(serves={"topics": wanted, "partitions": []})
    assert check_running() == []
    Presence.objects.using("subscriber").update(group="another")
    assert ids(check_running()) == ["W018"]


@pytest.mark.usefixtures("_no_subscriptions")
def test_a_topic_that_a_factory_reads_is_known() -> None:
    subscriptions.add_factory(lambda: Consumer("built"))
    assert topics_read() == {"built"}


# --- databases --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _all_triggers(db: None) -> None:
    """Make a proxy's triggers, which come by migrations only, and the zoo has none."""
    for alias in ("default", "subscriber"):
        if connections[alias].vendor == "postgresql":
            for trigger in triggers.make(publications.for_model(PublishedPaper)[0]):
                trigger.install(PublishedPaper, database=alias)


@pytest.mark.usefixtures("_all_triggers")
@pytest.mark.django_db(databases=["default", "subscriber"])
def test_a_migration_that_is_missing() -> None:
    assert check_tables() == []
    MigrationRecorder(connections["default"]).record_unapplied("logpipe_signals", "0006_housekeeping")
    found = only(check_tables(), "E033")
    assert "lacks migrations of logpipe_signals: 0006_housekeeping" in found.msg
    assert found.hint == "Run manage.py migrate logpipe_signals --database=default"


def test_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(alias: str) -> Any:
        raise OperationalError("password=s3cret-word")

    monkeypatch.setattr(tables_module, "_migrations", refuse)
    found = check_tables()
    assert ids(found) == ["E032", "E032"]
    assert "s3cret-word" not in found[0].msg


@pytest.mark.postgres
@pytest.mark.usefixtures("_all_triggers")
@pytest.mark.django_db(databases=["default", "subscriber"])
def test_a_trigger_that_is_missing_or_disabled() -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("triggers are PostgreSQL's")
    assert check_tables() == []
    captured = next(each for each in publications if each.options.capture == "triggers")
    table = captured.concrete_model._meta.db_table
    with connections["default"].cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
    assert f"table {table!r}" in check_tables()[0].msg
    assert set(ids(check_tables())) == {"E034"}


def test_rows_that_the_database_deletes_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = object()
    monkeypatch.setattr(models, "DB_CASCADE", cascade, raising=False)
    monkeypatch.setattr(Animal._meta.get_field("cage").remote_field, "on_delete", cascade)
    found = check_publications()
    assert set(ids(found)) == {"W005"}
    assert "zoo.Animal.cage is DB_CASCADE" in found[0].msg
