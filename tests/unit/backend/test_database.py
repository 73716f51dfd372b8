"""What is the embedded log's own: tables, locks, leases, retention."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logpipe_signals.backend import database, database_log
from logpipe_signals.backend.base import Message, Subscription, TopicPartition
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Lease, LogPartition, LogRecord

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)


def _send(topic: str, count: int, key: str | None = "joe", timeout_seconds: float = 10.0) -> list[Any]:
    messages = [Message(topic=topic, key=key, value=b"%d" % number) for number in range(count)]
    return database.Producer().submit(messages, timeout_seconds=timeout_seconds).wait(timeout_seconds)


def test_a_topic_is_made_when_it_is_first_sent_to(logpipe_settings: Any) -> None:
    logpipe_settings(DATABASE_LOG_PARTITIONS=5)
    _send("people", 1)
    assert LogPartition.objects.filter(topic="people").count() == 5


def test_a_batch_is_few_statements_however_long_it_is() -> None:
    _send("people", 1)
    with CaptureQueriesContext(connection) as queries:
        _send("people", 100, key=None)
    statements = [query["sql"] for query in queries if query["sql"].startswith(("SELECT", "INSERT", "UPDATE"))]
    assert len(statements) <= 6, statements


def test_an_idle_look_is_one_statement() -> None:
    consumer = database.Consumer(Subscription(topics=("people",)))
    _send("people", 1)
    consumer.poll(max_records=10, timeout_seconds=0)
    with CaptureQueriesContext(connection) as queries:
        assert consumer.poll(max_records=10, timeout_seconds=0) == []
    assert [query["sql"][:6] for query in queries] == ["SELECT"], queries.captured_queries


def test_a_look_takes_no_more_bytes_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_log, "BYTES_A_FETCH", 100)
    values = [bytes([number]) * 40 for number in range(7)]
    values[3] *= 10
    database.Producer().submit(
        [Message(topic="people", key="joe", value=value) for value in values], timeout_seconds=10
    ).wait(10)
    consumer = database.Consumer(Subscription(topics=("people",)))
    looks = [consumer.poll(max_records=500, timeout_seconds=0) for _ in range(5)]
    assert [len(look) for look in looks] == [2, 1, 1, 2, 1]
    assert [record.value for look in looks for record in look] == values


def test_each_partition_gives_its_share_of_a_bounded_look_and_tombstones_weigh_nothing(
    monkeypatch: pytest.MonkeyPatch, logpipe_settings: Any
) -> None:
    logpipe_settings(DATABASE_LOG_PARTITIONS=2)
    monkeypatch.setattr(database_log, "BYTES_A_FETCH", 200)
    many = [Message(topic="people", key=None, value=b"x" * 90) for _ in range(8)]
    none = [Message(topic="people", key="joe", value=None) for _ in range(5)]
    database.Producer().submit(many + none, timeout_seconds=10).wait(10)
    consumer = database.Consumer(Subscription(topics=("people",)))
    looks = [consumer.poll(max_records=500, timeout_seconds=0) for _ in range(4)]
    assert [len([record for record in look if record.value]) for look in looks] == [2, 2, 2, 2]
    assert all(len({record.partition for record in look if record.value}) == 2 for look in looks)
    assert sum(map(len, looks)) == 13


def test_a_few_records_are_read_without_being_measured() -> None:
    _send("people", 4)
    consumer = database.Consumer(Subscription(topics=("people",)))
    consumer.poll(max_records=1, timeout_seconds=0)
    with CaptureQueriesContext(connection) as queries:
        assert len(consumer.poll(max_records=10, timeout_seconds=0)) == 3
    assert [query["sql"][:6] for query in queries] == ["SELECT", "SELECT"], queries.captured_queries


def test_offsets_have_no_holes_after_a_rollback() -> None:
    _send("people", 1)
    with transaction.atomic():
        _send("people", 3)
        transaction.set_rollback(True)
    (outcome,) = _send("people", 1)
    assert outcome.metadata.offset == 1


def test_a_batch_whose_time_is_up_is_rolled_back() -> None:
    with pytest.raises(BackendUnavailable):
        _send("people", 3, timeout_seconds=0.0)
    assert LogRecord.objects.count() == 0


def test_offsets_become_visible_in_order_while_many_write() -> None:
    """A reader that has seen 7 has seen 1 to 6: offsets drawn from a sequence would not keep that."""
    database.create_topic("people", 2)
    writers = [threading.Thread(target=_write_some, args=(name,)) for name in ("joe", "jim", "jane")]
    for writer in writers:
        writer.start()
    consumer = database.Consumer(Subscription(topics=("people",), gap_found=lambda gap: pytest.fail(str(gap))))
    records = []
    while len(records) < 3 * 60:
        records += consumer.poll(max_records=50, timeout_seconds=10)
    for writer in writers:
        writer.join()
    for partition in consumer.assignment():
        offsets = [record.offset for record in records if record.topic_partition == partition]
        assert offsets == list(range(len(offsets)))


def _write_some(key: str) -> None:
    try:
        for _ in range(12):
            assert [outcome.error for outcome in _send("people", 5, key=key)] == [None] * 5
    finally:
        connections.close_all()


def test_pruning_removes_what_is_older_and_makes_no_hole() -> None:
    database.create_topic("people", 1)
    _send("people", 6)
    LogRecord.objects.filter(offset__in=[0, 1, 4]).update(created_at=timezone.now() - timedelta(days=9))
    assert database.prune(older_than=timedelta(days=7)) == 2
    assert list(LogRecord.objects.order_by("offset").values_list("offset", flat=True)) == [2, 3, 4, 5]


def test_pruning_everything_leaves_the_offsets_going_on() -> None:
    database.create_topic("people", 1)
    _send("people", 3)
    assert database.prune(older_than=timedelta(seconds=-60)) == 3
    (outcome,) = _send("people", 1)
    assert outcome.metadata.offset == 3


def test_pruning_one_topic_leaves_the_others() -> None:
    _send("people", 1)
    _send("places", 1)
    database.prune(older_than=timedelta(seconds=-60), topics=["people"])
    assert LogRecord.objects.get().partition.topic == "places"


@pytest.mark.parametrize("value", [b"", b"plain", "zwölf".encode(), b"\x00", b"\xff\xfe", b"a\x00b"])
def test_any_bytes_survive_as_a_header(value: bytes) -> None:
    stored = database_log._stored_headers((("name", value),))
    assert database_log._read_headers(stored) == (("name", value),)


def test_a_member_that_is_not_polled_loses_its_partitions_and_is_told(logpipe_settings: Any) -> None:
    logpipe_settings(LEASE_SECONDS=60)
    revoked: list[TopicPartition] = []
    _send("people", 1)
    late = database.Consumer(Subscription(topics=("people",), group="readers", revoked=revoked.extend))
    late.poll(max_records=1, timeout_seconds=0)
    owned = late.assignment()
    Lease.objects.exclude(owner="").update(expires_at=timezone.now() - timedelta(minutes=1))
    prompt = database.Consumer(Subscription(topics=("people",), group="readers"))
    prompt.poll(max_records=1, timeout_seconds=0)
    assert prompt.assignment() == owned
    late._claims._next_look = 0.0  # type: ignore[union-attr]  # its own clock says so after a freeze
    assert late.poll(max_records=1, timeout_seconds=0) == []
    assert set(revoked) == owned
    late.close()
    prompt.close()


def test_a_member_that_leaves_is_forgotten() -> None:
    _send("people", 1)
    consumer = database.Consumer(Subscription(topics=("people",), group="readers"))
    consumer.poll(max_records=1, timeout_seconds=0)
    consumer.close()
    assert not Lease.objects.filter(kind="consumer").exists()
    assert not Lease.objects.exclude(owner="").exists()


def test_long_names_of_groups_and_topics_fit_into_leases() -> None:
    topic, group = "t" * 249, "g" * 200
    _send(topic, 1)
    consumer = database.Consumer(Subscription(topics=(topic,), group=group))
    assert len(consumer.poll(max_records=1, timeout_seconds=0)) == 1
    consumer.close()


def test_members_of_groups_whose_names_begin_alike_do_not_share() -> None:
    _send("people", 1)
    consumers = [database.Consumer(Subscription(topics=("people",), group=group)) for group in ("a", "a:b", "ab")]
    for consumer in consumers:
        consumer.poll(max_records=1, timeout_seconds=0)
    assert [len(consumer.assignment()) for consumer in consumers] == [4, 4, 4]
    for consumer in consumers:
        consumer.close()


def test_a_reader_survives_a_connection_that_was_cut_while_it_idled() -> None:
    _send("people", 1)
    consumer = database.Consumer(Subscription(topics=("people",)))
    consumer.poll(max_records=1, timeout_seconds=0)
    with _cut_connection():
        assert consumer.poll(max_records=1, timeout_seconds=0) == []


def _cut_connection() -> AbstractContextManager[Any]:
    asks = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
    cuts = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
    if connection.vendor not in asks:
        return _failing_once()  # SQLite has no server that could cut it
    with connection.cursor() as cursor:
        cursor.execute(asks[connection.vendor])
        (session,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(cuts[connection.vendor], [session])
    other.close()
    return nullcontext()


def _failing_once() -> AbstractContextManager[Any]:
    failures = iter([OperationalError("disk I/O error")])

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        for failure in failures:
            raise failure
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def test_an_alias_that_is_no_database_is_an_error_of_check(logpipe_settings: Any) -> None:
    logpipe_settings(DATABASE_LOG_ALIAS="nowhere")
    assert [message.id for message in database.Producer.check()] == ["logpipe_signals.E110"]
