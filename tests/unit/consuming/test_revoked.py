"""A partition that went to another consumer: nothing of it is handed out, applied, moved or told to the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from logpipe_signals import Consumer
from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.consuming.feed import Feed
from logpipe_signals.consuming.loop import Loop, LoopOptions
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.models import Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

LOST = TopicPartition("people", "0")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[TopicPartition, Any]]:
    """Return what the log is told of positions."""
    told: list[Mapping[TopicPartition, Any]] = []
    monkeypatch.setattr(dummy.Consumer, "commit_to_log", lambda self, positions: told.append(positions))
    return told


@pytest.fixture
def loop() -> Loop:
    """Return a loop over ten records in two partitions."""
    dummy.create_topic("people", partitions=2)
    for number in range(10):
        put_message(person(number), key=str(number))
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    return Loop(consumer._feed, {"people": consumer.routes}, LoopOptions(end_when_idle=True), stop=Stop())


def lose(feed: Feed, partition: TopicPartition) -> None:
    """Say what a log says before it gives a partition to another consumer."""
    feed.client.subscription.revoked([partition])


def partitions_of(records: list[Any]) -> set[TopicPartition]:
    return {record.topic_partition for record in records}


def test_what_was_read_ahead_of_it_is_not_handed_out(loop: Loop):
    feed = loop.feed
    assert len(feed.take(max_records=1, timeout_seconds=1, read_ahead=10)) == 1
    assert feed.is_holding
    lose(feed, LOST)
    rest = feed.take(max_records=10, timeout_seconds=0)
    assert LOST not in partitions_of(rest)
    assert rest


def test_what_is_held_back_of_it_for_its_age_is_not_handed_out(loop: Loop, logpipe_settings: Callable[..., None]):
    logpipe_settings(MIN_MESSAGE_LAG_MS=3_600_000)
    feed = loop.feed
    assert feed.take(max_records=10, timeout_seconds=0) == []
    lose(feed, LOST)
    assert set(feed._held) == {TopicPartition("people", "1")}


def test_the_log_is_not_told_of_its_position(loop: Loop, told: list[Mapping[TopicPartition, Any]]):
    loop._apply_all(loop.feed.take(max_records=10, timeout_seconds=1))
    assert PersonCopy.objects.count() == 10
    lose(loop.feed, LOST)
    loop._tell_log(now=True)
    assert [set(positions) for positions in told] == [{TopicPartition("people", "1")}]


def test_a_batch_in_hand_is_refused_when_its_new_owner_went_on(loop: Loop):
    records = loop.feed.take(max_records=10, timeout_seconds=1)
    lost = [record for record in records if record.topic_partition == LOST]
    lose(loop.feed, LOST)
    Offset.objects.using("subscriber").filter(partition="0").update(position=str(len(lost)))
    PersonCopy.objects.all().delete()
    loop._apply_all(lost)
    assert not PersonCopy.objects.exists()
