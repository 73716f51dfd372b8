"""How far behind: what every log can tell of a position, without being in a group."""

from __future__ import annotations

import pytest

from logpipe_signals.backend.base import Lag, TopicPartition
from logpipe_signals.testing.conformance.log import Log

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_a_log_tells_how_far_a_position_is_behind(log: Log) -> None:
    topic = log.topic(partitions=1)
    partition = log.partition(topic)
    log.send(topic, *[("a", b"%d" % number) for number in range(5)])
    consumer = log.consumer(topic)
    records = log.read(consumer, 5)
    middle, end = consumer.position_after(records[1]), consumer.position_after(records[-1])
    behind = log.consumer_class.lag({partition: middle}, timeout_seconds=20)[partition]
    done = log.consumer_class.lag({partition: end}, timeout_seconds=20)[partition]
    assert (behind.records == 3) if behind.seconds is None else behind.seconds > 0
    assert done in (Lag(records=0), Lag(seconds=0.0))


def test_a_group_that_read_nothing_is_behind_by_everything(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    lag = log.consumer_class.lag({log.partition(topic): None}, timeout_seconds=20)[log.partition(topic)]
    assert (lag.records == 2) if lag.seconds is None else lag.seconds > 0


def test_a_topic_that_is_gone_does_not_hide_the_others(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"))
    gone = TopicPartition(f"{topic}-gone", log.partition(topic).partition)
    answer = log.consumer_class.lag({log.partition(topic): None, gone: None}, timeout_seconds=20)
    told_of = set(answer) - {gone}
    assert told_of == {log.partition(topic)}
    if log.misses_topics:
        assert gone not in answer
    else:  # It makes its topics by itself: nobody is behind in one that is not there yet.
        assert answer.get(gone, Lag(records=0)) == Lag(records=0)
