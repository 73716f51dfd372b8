"""What every consumer owes."""

from __future__ import annotations

import time

import pytest

from logpipe_signals.backend.base import Gap, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.exceptions import MissingTopicError
from logpipe_signals.testing.conformance.log import PATIENCE_SECONDS, Log, poll_until
from logpipe_signals.testing.services.ports import wait_until

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_a_record_says_where_it_stands_and_what_it_holds(log: Log) -> None:
    topic = log.topic(partitions=1)
    before = time.time() * 1000
    (place,) = log.send(topic, ("joe", b"json:{}"))
    (record,) = log.read(log.consumer(topic), 1)
    assert record.topic_partition == log.partition(topic)
    assert record[:3] == place
    assert (record.key_text, record.value) == ("joe", b"json:{}")
    assert before - 5000 < record.timestamp < time.time() * 1000 + 5000


def test_a_new_reader_starts_at_the_beginning(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    assert [record.value for record in log.read(log.consumer(topic), 2)] == [b"1", b"2"]


def test_a_new_reader_may_start_at_the_end(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"old"))
    consumer = log.consumer(topic, start="end")
    consumer.poll(max_records=10, timeout_seconds=0.5)
    log.send(topic, ("a", b"new"))
    assert [record.value for record in log.read(consumer, 1)] == [b"new"]


def test_reading_may_begin_at_a_time(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    consumer = log.consumer(topic)
    second = log.read(consumer, 2)[1].timestamp
    wait_until(lambda: time.time() * 1000 > second + 20, timeout_seconds=5)
    log.send(topic, ("a", b"3"), ("a", b"4"))
    third = log.read(consumer, 2)[0].timestamp
    consumer.close()
    late = log.consumer(topic)
    at_third = late.positions_at([log.partition(topic)], int(third))
    other = log.consumer(topic, read_positions=lambda partitions: at_third)
    assert [record.value for record in log.read(other, 2)] == [b"3", b"4"]


@pytest.mark.needs("retention")
def test_a_time_that_nothing_is_younger_than_is_the_end(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    partition = log.partition(topic)
    assert log.consumer(topic).positions_at([partition], int(time.time() * 1000) + 60_000) == {partition: 2}


def test_reading_goes_on_at_the_stored_position(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, *[("a", b"%d" % number) for number in range(10)])
    first = log.consumer(topic)
    position = first.position_after(log.read(first, 10)[3])
    first.close()
    second = log.consumer(topic, read_positions=lambda partitions: dict.fromkeys(partitions, position))
    assert [record.value for record in log.read(second, 6)] == [b"%d" % number for number in range(4, 10)]


def test_positions_are_asked_for_what_is_assigned(log: Log) -> None:
    topic = log.topic(partitions=3)
    asked: list[TopicPartition] = []
    consumer = log.consumer(topic, read_positions=lambda partitions: asked.extend(partitions) or {})  # type: ignore[func-returns-value]
    consumer.poll(max_records=10, timeout_seconds=0.5)
    assert sorted(asked) == [log.partition(topic, number) for number in range(3)]


def test_several_topics_are_read_by_one_consumer(log: Log) -> None:
    topics = [log.topic(), log.topic()]
    for topic in topics:
        log.send(topic, ("a", topic.encode()))
    records = log.read(log.consumer(*topics), 2)
    assert {(record.topic, record.value) for record in records} == {(topic, topic.encode()) for topic in topics}


def test_poll_gives_no_more_than_it_was_asked_for(log: Log) -> None:
    topic = log.topic()
    log.send(topic, *[(f"key-{number}", b"x") for number in range(50)])
    consumer = log.consumer(topic)
    sizes: list[int] = []
    while sum(sizes) < 50:
        sizes.append(len(consumer.poll(max_records=7, timeout_seconds=5)))
    assert max(sizes) <= 7


def test_a_long_partition_does_not_keep_a_short_one_waiting(log: Log) -> None:
    topic = log.topic(partitions=2)
    long, short = log.keys_by_partition(topic, 400).values()
    for _ in range(12):
        log.send(topic, *[(key, b"x" * 1000) for key in long])
    log.send(topic, (short[0], b"here"))
    sent = 400 + 12 * len(long) + 1
    values = [record.value for record in log.read(log.consumer(topic), sent)]
    assert values.index(b"here") < sent - 1


def test_poll_comes_back_empty_in_time_and_does_not_spin(log: Log) -> None:
    consumer = log.consumer(log.topic())
    consumer.poll(max_records=10, timeout_seconds=1)
    worked = time.thread_time()
    assert consumer.poll(max_records=10, timeout_seconds=1) == []
    assert time.thread_time() - worked < 0.5


def test_a_record_that_is_sent_while_poll_waits_is_returned(log: Log) -> None:
    topic = log.topic()
    consumer = log.consumer(topic)
    consumer.poll(max_records=10, timeout_seconds=0.5)
    log.send(topic, ("a", b"1"))
    assert len(log.read(consumer, 1)) == 1


def test_without_a_group_all_partitions_are_read(log: Log) -> None:
    topic = log.topic(partitions=3)
    consumer = log.consumer(topic)
    consumer.poll(max_records=10, timeout_seconds=0.5)
    assert consumer.assignment() == {log.partition(topic, number) for number in range(3)}


def test_seek_goes_back_and_forth(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, *[("a", b"%d" % number) for number in range(5)])
    consumer = log.consumer(topic)
    records = log.read(consumer, 5)
    consumer.seek(log.partition(topic), consumer.position_after(records[1]))
    assert [record.value for record in log.read(consumer, 3)] == [b"2", b"3", b"4"]


def test_seek_to_no_position_goes_where_a_new_reader_starts(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    consumer = log.consumer(topic)
    log.read(consumer, 2)
    consumer.seek(log.partition(topic), None)
    assert [record.value for record in log.read(consumer, 2)] == [b"1", b"2"]


def test_seek_forgets_what_the_iterator_read_ahead(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, *[("a", b"%d" % number) for number in range(5)])
    consumer = log.consumer(topic)
    log.read(consumer, 5)
    consumer.seek(log.partition(topic), None)
    first = next(consumer)
    consumer.seek(log.partition(topic), None)
    assert [record.value for record in (first, next(consumer))] == [b"0", b"0"]


def test_a_paused_partition_gives_nothing_until_it_is_resumed(log: Log) -> None:
    topic = log.topic(partitions=1)
    partition = log.partition(topic)
    consumer = log.consumer(topic)
    consumer.poll(max_records=10, timeout_seconds=0.5)
    consumer.pause([partition])
    log.send(topic, ("a", b"1"))
    assert consumer.poll(max_records=10, timeout_seconds=1) == []
    consumer.resume([partition])
    assert len(log.read(consumer, 1)) == 1


def test_pausing_what_is_not_assigned_is_passed_over(log: Log) -> None:
    consumer = log.consumer(log.topic())
    consumer.poll(max_records=10, timeout_seconds=0.5)
    consumer.pause([TopicPartition("elsewhere", "0")])
    consumer.resume([TopicPartition("elsewhere", "0")])


def test_end_positions_are_behind_the_last_records(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    consumer = log.consumer(topic)
    last = log.read(consumer, 2)[-1]
    partition = log.partition(topic)
    assert consumer.end_positions([partition]) == {partition: consumer.position_after(last)}


def test_the_iterator_stops_when_nothing_came_in_time(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"), ("a", b"2"))
    consumer = log.consumer(topic, client_options={"consumer_timeout_ms": 3000})
    assert [record.value for record in consumer] == [b"1", b"2"]


def test_closing_twice_is_no_error(log: Log) -> None:
    consumer = log.consumer(log.topic())
    consumer.poll(max_records=10, timeout_seconds=0.2)
    consumer.close()
    consumer.close()


def test_closing_what_was_never_read_is_no_error(log: Log) -> None:
    log.consumer(log.topic(), group="idle").close()


def test_a_missing_topic_is_named_and_found_when_it_appears(log: Log) -> None:
    topic = "late-" + log.topic()
    consumer = log.consumer(topic)
    if log.misses_topics:
        with pytest.raises(MissingTopicError, match=topic):
            consumer.poll(max_records=10, timeout_seconds=1)
    else:
        assert consumer.poll(max_records=10, timeout_seconds=0.2) == []
    log.create_topic(topic, 1)
    log.send(topic, ("a", b"1"))
    assert len(_read_through_absence(log, consumer)) == 1


def _read_through_absence(log: Log, consumer):  # type: ignore[no-untyped-def]
    for _ in range(100):
        try:
            return log.read(consumer, 1)
        except MissingTopicError:
            time.sleep(0.1)
    raise AssertionError("the topic did not appear")


def test_a_new_partition_is_picked_up(log: Log) -> None:
    topic = log.topic(partitions=1)
    consumer = log.consumer(topic)
    consumer.poll(max_records=10, timeout_seconds=0.5)
    log.create_topic(topic, 4)
    poll_until(lambda: len(consumer.assignment()) == 4, consumer)
    partitions: set[str] = set()
    deadline = Deadline(PATIENCE_SECONDS)
    while len(partitions) < 4 and not deadline.passed:  # the producer's picture of the topic may be older
        partitions |= log.keys_by_partition(topic, 40).keys()
    assert {TopicPartition(topic, partition) for partition in partitions} >= consumer.assignment()


@pytest.mark.needs("retention")
def test_records_that_were_dropped_unread_are_reported_as_a_gap(log: Log) -> None:
    topic = log.topic(partitions=1)
    partition = log.partition(topic)
    log.send(topic, *[("a", b"%d" % number) for number in range(10)])
    log.drop_before(partition, 6)
    gaps: list[Gap] = []
    consumer = log.consumer(
        topic, read_positions=lambda partitions: dict.fromkeys(partitions, 2), gap_found=gaps.append
    )
    assert [record.value for record in log.read(consumer, 4)] == [b"6", b"7", b"8", b"9"]
    assert gaps == [Gap(topic_partition=partition, expected=2, found=6)]


def test_a_position_behind_the_end_is_reported_as_a_gap_and_reading_goes_on_at_the_start(log: Log) -> None:
    topic = log.topic(partitions=1)
    partition = log.partition(topic)
    first, _ = log.send(topic, ("a", b"0"), ("a", b"1"))
    gaps: list[Gap] = []
    stored = log.foreign_position
    consumer = log.consumer(
        topic, read_positions=lambda partitions: dict.fromkeys(partitions, stored), gap_found=gaps.append
    )
    assert [record.value for record in log.read(consumer, 2)] == [b"0", b"1"]
    assert gaps == [Gap(topic_partition=partition, expected=stored, found=first.offset)]


@pytest.mark.needs("retention")
def test_a_new_reader_of_a_shortened_log_is_told_of_no_gap(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, *[("a", b"%d" % number) for number in range(4)])
    log.drop_before(log.partition(topic), 2)
    gaps: list[Gap] = []
    assert [record.value for record in log.read(log.consumer(topic, gap_found=gaps.append), 2)] == [b"2", b"3"]
    assert gaps == []
