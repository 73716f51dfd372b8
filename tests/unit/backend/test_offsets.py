"""Positions move by compare-and-set."""

from __future__ import annotations

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from logpipe_signals.backend import confluent, database, dummy, kafka
from logpipe_signals.backend.base import Subscription, TopicPartition
from logpipe_signals.backend.offsets import ModelOffsetStore
from logpipe_signals.exceptions import PositionConflict
from logpipe_signals.models import Offset

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])

PEOPLE = TopicPartition("people", "0")


@pytest.fixture
def store() -> ModelOffsetStore:
    return dummy.ModelOffsetStore()


def test_a_partition_that_was_never_read_has_no_position(store: ModelOffsetStore) -> None:
    assert store.read("readers", [PEOPLE]) == {PEOPLE: None}


def test_a_position_that_was_moved_is_read_as_a_number(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    store.advance("readers", PEOPLE, expected=None, position=7)
    assert store.read("readers", [PEOPLE]) == {PEOPLE: 7}


def test_offsets_beyond_32_bits_are_kept(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    store.advance("readers", PEOPLE, expected=None, position=2**62)
    assert store.read("readers", [PEOPLE]) == {PEOPLE: 2**62}


def test_a_position_that_is_not_the_expected_one_stays(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    store.advance("readers", PEOPLE, expected=None, position=7)
    with pytest.raises(PositionConflict, match="people/0"):
        store.advance("readers", PEOPLE, expected=5, position=9)
    assert store.read("readers", [PEOPLE]) == {PEOPLE: 7}


def test_of_two_consumers_that_start_together_one_wins(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    store.advance("readers", PEOPLE, expected=None, position=3)
    with pytest.raises(PositionConflict):
        store.advance("readers", PEOPLE, expected=None, position=3)


def test_moving_a_position_is_one_statement(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    with CaptureQueriesContext(connections[store.alias()]) as queries:
        store.advance("readers", PEOPLE, expected=None, position=7)
    assert len(queries) == 1
    assert queries[0]["sql"].startswith("UPDATE")


def test_reading_known_positions_is_one_statement(store: ModelOffsetStore) -> None:
    partitions = [TopicPartition("people", str(number)) for number in range(8)]
    store.read("readers", partitions)
    with CaptureQueriesContext(connections[store.alias()]) as queries:
        store.read("readers", partitions)
    assert len(queries) == 1


def test_groups_and_logs_have_positions_of_their_own(store: ModelOffsetStore) -> None:
    for each, group in ((store, "readers"), (store, "others"), (database.ModelOffsetStore(), "readers")):
        assert each.read(group, [PEOPLE]) == {PEOPLE: None}
        each.advance(group, PEOPLE, expected=None, position=1)


def test_both_kafka_clients_share_positions() -> None:
    kafka.ModelOffsetStore().read("readers", [PEOPLE])
    kafka.ModelOffsetStore().advance("readers", PEOPLE, expected=None, position=5)
    assert confluent.ModelOffsetStore().read("readers", [PEOPLE]) == {PEOPLE: 5}


def test_positions_live_on_the_consumers_database(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    assert Offset.objects.using("subscriber").count() == 1
    assert Offset.objects.using("default").count() == 0


def test_positions_live_where_the_router_says_when_no_database_is_named(
    store: ModelOffsetStore, logpipe_settings
) -> None:  # type: ignore[no-untyped-def]
    logpipe_settings(CONSUMER_DATABASE="")
    assert store.alias() == "default"


def test_a_rolled_back_transaction_leaves_the_position(store: ModelOffsetStore) -> None:
    store.read("readers", [PEOPLE])
    with transaction.atomic(using=store.alias()):
        store.advance("readers", PEOPLE, expected=None, position=7)
        transaction.set_rollback(True, using=store.alias())
    assert store.read("readers", [PEOPLE]) == {PEOPLE: None}


def test_django_logpipes_commit_and_seek_work_on_the_same_rows(store: ModelOffsetStore) -> None:
    dummy.Producer().send("people", "joe", b"1")
    dummy.Producer().send("people", "joe", b"2")
    consumer = dummy.Consumer(Subscription(topics=("people",), group="readers"))
    first, second = consumer.poll(max_records=2, timeout_seconds=0)
    store.commit(consumer, first)
    assert store.read("readers", [PEOPLE]) == {PEOPLE: 1}
    store.seek(consumer, "people", "0")
    assert consumer.poll(max_records=2, timeout_seconds=0) == [second]
