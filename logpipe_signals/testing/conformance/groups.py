"""What consumers of one group owe each other."""

from __future__ import annotations

import pytest

from logpipe_signals.backend.base import Consumer, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.testing.conformance.log import PATIENCE_SECONDS, Log, poll_until

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.needs("groups"),
]


class Diary:
    """Writes down which member was given and lost what, in order."""

    def __init__(self, log: Log, topic: str) -> None:
        self.entries: list[tuple[str, str, str]] = []
        self._log = log
        self._topic = topic

    def member(self, name: str, **subscription: object) -> Consumer:
        return self._log.consumer(
            self._topic,
            group="readers-" + self._topic,
            assigned=lambda partitions: self._note(name, "assigned", partitions),
            revoked=lambda partitions: self._note(name, "revoked", partitions),
            **subscription,
        )

    def _note(self, name: str, what: str, partitions: list[TopicPartition]) -> None:
        self.entries += [(partition.partition, name, what) for partition in partitions]

    def owners_overlapped(self) -> bool:
        owners: dict[str, str] = {}
        for partition, name, what in self.entries:
            if what == "assigned" and owners.setdefault(partition, name) != name:
                return True
            if what == "revoked":
                owners.pop(partition, None)
        return False


def test_a_group_of_one_reads_everything(log: Log) -> None:
    topic = log.topic()
    log.send(topic, *[(f"key-{number}", b"x") for number in range(30)])
    consumer = Diary(log, topic).member("first")
    assert len(log.read(consumer, 30)) == 30
    assert len(consumer.assignment()) == 3


def test_two_members_share_the_partitions(log: Log) -> None:
    topic = log.topic(partitions=4)
    diary = Diary(log, topic)
    first = diary.member("first")
    poll_until(lambda: len(first.assignment()) == 4, first)
    second = diary.member("second")
    poll_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
    assert first.assignment() | second.assignment() == {log.partition(topic, number) for number in range(4)}


def test_a_partition_is_revoked_before_another_member_is_given_it(log: Log) -> None:
    topic = log.topic(partitions=4)
    diary = Diary(log, topic)
    first = diary.member("first")
    poll_until(lambda: len(first.assignment()) == 4, first)
    second = diary.member("second")
    poll_until(lambda: len(second.assignment()) == 2, first, second)
    assert not diary.owners_overlapped()
    assert {name for _, name, what in diary.entries if what == "revoked"} == {"first"}


def test_a_member_hands_out_nothing_of_a_partition_that_it_lost(log: Log) -> None:
    topic = log.topic(partitions=4)
    diary = Diary(log, topic)
    first = diary.member("first")
    poll_until(lambda: len(first.assignment()) == 4, first)
    log.send(topic, *[(f"key-{number}", b"x") for number in range(200)])
    assert first.poll(max_records=1, timeout_seconds=10)
    second = diary.member("second")
    deadline = Deadline(PATIENCE_SECONDS)
    while len(second.assignment()) != 2 and not deadline.passed:
        # Little by little, so that it still has records of what it loses in its hands.
        handed_out = first.poll(max_records=1, timeout_seconds=0.1)
        assert {record.topic_partition for record in handed_out} <= first.assignment()
        second.poll(max_records=1, timeout_seconds=0.1)
    lost = {name for name, who, what in diary.entries if (who, what) == ("first", "revoked")}
    kept = {partition.partition for partition in first.assignment()}
    assert len(lost - kept) == 2
    rest: set[str] = set()
    for _ in range(10):
        handed_out = first.poll(max_records=50, timeout_seconds=0.1)
        assert {record.topic_partition for record in handed_out} <= first.assignment()
        rest |= {record.partition for record in handed_out}
        second.poll(max_records=1, timeout_seconds=0.1)  # Who is not polled loses its partitions in turn.
    assert kept <= rest


def test_a_member_that_leaves_hands_its_partitions_over(log: Log) -> None:
    topic = log.topic(partitions=4)
    diary = Diary(log, topic)
    first, second = diary.member("first"), diary.member("second")
    poll_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
    first.close()
    poll_until(lambda: len(second.assignment()) == 4, second)
    assert not diary.owners_overlapped()


def test_closing_revokes_what_was_assigned(log: Log) -> None:
    topic = log.topic(partitions=1)
    diary = Diary(log, topic)
    consumer = diary.member("first")
    poll_until(lambda: len(consumer.assignment()) == 1, consumer)
    consumer.close()
    name = log.partition(topic).partition
    assert diary.entries == [(name, "first", "assigned"), (name, "first", "revoked")]


def test_a_new_owner_starts_at_the_stored_position(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, *[("a", b"%d" % number) for number in range(6)])
    positions: dict[TopicPartition, int | str | None] = {}
    diary = Diary(log, topic)
    first = diary.member("first", read_positions=lambda partitions: dict(positions))
    records = log.read(first, 6)
    positions[log.partition(topic)] = first.position_after(records[3])
    first.close()
    second = diary.member("second", read_positions=lambda partitions: dict(positions))
    assert [record.value for record in log.read(second, 2)] == [b"4", b"5"]


def test_a_group_of_another_name_reads_everything_again(log: Log) -> None:
    topic = log.topic()
    log.send(topic, ("a", b"1"))
    for group in ("one", "two"):
        assert len(log.read(log.consumer(topic, group=f"{group}-{topic}"), 1)) == 1


def test_a_new_partition_is_given_to_a_member(log: Log) -> None:
    topic = log.topic(partitions=1)
    consumer = Diary(log, topic).member("first")
    poll_until(lambda: len(consumer.assignment()) == 1, consumer)
    log.create_topic(topic, 3)
    poll_until(lambda: len(consumer.assignment()) == 3, consumer)


def test_the_log_may_be_told_of_positions(log: Log) -> None:
    topic = log.topic(partitions=1)
    log.send(topic, ("a", b"1"))
    consumer = Diary(log, topic).member("first")
    (record,) = log.read(consumer, 1)
    consumer.commit_to_log({record.topic_partition: consumer.position_after(record)})
