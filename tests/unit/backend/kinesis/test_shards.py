"""Shards: found continuously, read behind their parents, finished once everything of them is applied."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from logpipe_signals.backend.base import Gap, Position, TopicPartition
from logpipe_signals.backend.kinesis import family as family_module
from logpipe_signals.backend.kinesis import shards
from logpipe_signals.backend.kinesis.positions import SHARD_END, has_passed, time_of
from logpipe_signals.backend.kinesis.shards import Shard, passed_over, readable
from logpipe_signals.exceptions import BackendUnavailable
from tests.conftest import ChangeSettings
from tests.unit.backend.kinesis.conftest import Open, poll_until, read
from tests.unit.backend.kinesis.fake import FakeKinesis, client_error


def place(number: int) -> TopicPartition:
    return TopicPartition("people", f"shardId-{number:012}")


def family(**parents: str) -> dict[TopicPartition, Shard]:
    """Return shards by number, each with the numbers of its parents: `s2="01"`; those with children are closed."""
    closed = set("".join(parents.values()))
    return {
        place(int(name[1:])): Shard(
            partition=place(int(name[1:])), parents=frozenset(place(int(n)) for n in of), is_closed=name[1:] in closed
        )
        for name, of in parents.items()
    }


class Group:
    """Keeps positions as a feed does: a mark is taken when nothing handed out is left to be applied."""

    def __init__(self, **stored: Position) -> None:
        self.stored: dict[TopicPartition, Position | None] = {place(int(n[1:])): p for n, p in stored.items()}
        self.is_busy = False
        self.gaps: list[Gap] = []

    def subscription(self, **options: Any) -> dict[str, Any]:
        def positions(partitions: Any) -> dict[TopicPartition, Position | None]:
            return {partition: self.stored.get(partition) for partition in partitions}

        return {
            "read_positions": positions,
            "peek_positions": positions,
            "mark": self._mark,
            "gap_found": self.gaps.append,
            **options,
        }

    def _mark(self, partition: TopicPartition, position: Position) -> bool:
        if not self.is_busy:
            self.stored[partition] = position
        return not self.is_busy


# --- who may be read --------------------------------------------------------------------------------------------------


def test_a_child_waits_for_all_of_its_parents() -> None:
    merged = family(s0="", s1="", s2="01")
    assert readable(merged, finished={place(0)}) == {place(1)}
    assert readable(merged, finished={place(0), place(1)}) == {place(2)}


def test_a_parent_that_the_stream_no_longer_has_is_not_waited_for() -> None:
    assert readable(family(s2="01", s3="2"), finished=set()) == {place(2)}


def test_who_starts_at_the_end_passes_over_closed_shards_that_nobody_began() -> None:
    shards = family(s0="", s1="0", s2="0", s3="1", s4="1")
    assert passed_over(shards, begun=set()) == {place(0), place(1)}
    assert passed_over(shards, begun={place(0)}) == set()


# --- discovery --------------------------------------------------------------------------------------------------------


def test_all_pages_of_a_streams_shards_are_read() -> None:
    fake = FakeKinesis(shards=25)
    fake.page_size = 10
    assert len(shards.list_shards(fake, "people") or {}) == 25  # type: ignore[arg-type]
    assert fake.count("list_shards") == 3


def test_shards_that_come_to_be_are_found_and_read_from_their_beginning(fake: FakeKinesis, open_consumer: Open) -> None:
    consumer = open_consumer(**Group().subscription())
    fake.put(b"parent's")
    assert read(consumer, 1) == [b"parent's"]
    fake.split(place(0).partition)
    fake.put(b"child's")
    assert read(consumer, 1) == [b"child's"]
    poll_until(consumer, lambda: consumer.assignment() == {place(1), place(2)})


# --- parents before children ------------------------------------------------------------------------------------------


def test_a_child_is_not_read_before_everything_of_its_parent_is_applied(fake: FakeKinesis, open_consumer: Open) -> None:
    fake.put(b"parent's")
    fake.split(place(0).partition)
    fake.put(b"child's")
    group = Group()
    group.is_busy = True
    consumer = open_consumer(**group.subscription())
    assert read(consumer, 1) == [b"parent's"]
    for _ in range(5):
        assert consumer.poll(max_records=10, timeout_seconds=0.1) == []
    group.is_busy = False
    assert read(consumer, 1) == [b"child's"]
    assert group.stored[place(0)] == SHARD_END


@pytest.mark.parametrize("taken_out", [False, True])
def test_the_order_of_a_row_rests_on_parents_first(
    fake: FakeKinesis, open_consumer: Open, monkeypatch: pytest.MonkeyPatch, taken_out: bool
) -> None:
    """A kept mutation: with the rule taken out the newer state comes first, while its parent's reads are throttled."""
    if taken_out:
        monkeypatch.setattr(family_module, "readable", lambda shards, finished: shards.keys() - finished)
    fake.put(b"older", key="joe")
    fake.split(place(0).partition)
    fake.put(b"newer", key="joe")
    fake.before = Throttle(place(0).partition, times=10)
    consumer, states = open_consumer(**Group().subscription()), []
    while len(states) < 2:
        with contextlib.suppress(BackendUnavailable):  # as long as no shard can be read
            states += [record.value for record in consumer.poll(max_records=10, timeout_seconds=0.5)]
    assert states == ([b"newer", b"older"] if taken_out else [b"older", b"newer"])


class Throttle:
    """Throttles the first reads of one shard."""

    def __init__(self, shard: str, *, times: int) -> None:
        self.shard, self.left = shard, times

    def __call__(self, operation: str, request: dict[str, Any]) -> None:
        if operation == "get_shard_iterator" and request["ShardId"] == self.shard and self.left:
            self.left -= 1
            raise client_error("ProvisionedThroughputExceededException")


def test_a_child_of_two_parents_waits_for_both(fake: FakeKinesis, open_consumer: Open) -> None:
    fake.split(place(0).partition)
    for number in range(20):
        fake.put(b"parents'", key=str(number))
    fake.merge(place(1).partition, place(2).partition)
    fake.put(b"child's")
    assert read(open_consumer(**Group().subscription()), 21) == [b"parents'"] * 20 + [b"child's"]


def test_a_parent_that_another_process_is_at_is_waited_for(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(b"parent's")
    fake.split(place(0).partition)
    group = Group(s0=number)
    consumer = open_consumer(**group.subscription())
    # Without a group this process reads the parent too, and finds that there is nothing behind what was read.
    poll_until(consumer, lambda: consumer.assignment() == {place(1), place(2)})
    assert group.stored[place(0)] == SHARD_END


def test_a_finished_shard_is_not_read_again(fake: FakeKinesis, open_consumer: Open) -> None:
    fake.put(b"read already")
    fake.split(place(0).partition)
    fake.put(b"child's")
    consumer = open_consumer(**Group(s0=SHARD_END).subscription())
    assert read(consumer, 1) == [b"child's"]
    assert place(0).partition not in {request["ShardId"] for request in fake.requests("get_shard_iterator")}


def test_a_parent_that_the_stream_dropped_unread_is_reported(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(b"read")
    fake.split(place(0).partition)
    del fake.shards[place(0).partition]
    group = Group(s0=number)
    consumer = open_consumer(**group.subscription())
    poll_until(consumer, lambda: len(consumer.assignment()) == 2)
    assert set(group.gaps) == {Gap(topic_partition=place(0), expected=number, found=SHARD_END)}


# --- from the end -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["start", "setting"])
def from_the_end(request: pytest.FixtureRequest, logpipe_settings: ChangeSettings) -> dict[str, Any]:
    """Start at the end: asked for by the caller, or by django-logpipe's setting."""
    if request.param == "start":
        return {"start": "end"}
    logpipe_settings(KINESIS_SHARD_ITERATOR_TYPE="LATEST")
    return {}


def test_who_starts_at_the_end_reads_what_comes_and_keeps_where_it_began(
    fake: FakeKinesis, open_consumer: Open, from_the_end: dict[str, Any]
) -> None:
    fake.put(b"old")
    group = Group()
    consumer = open_consumer(**group.subscription(**from_the_end))
    consumer.poll(max_records=10, timeout_seconds=0.1)
    fake.put(b"new")
    assert read(consumer, 1) == [b"new"]
    assert time_of(str(group.stored[place(0)])) is not None


def test_children_of_what_was_begun_are_read_from_their_beginning_even_so(
    fake: FakeKinesis, open_consumer: Open, from_the_end: dict[str, Any]
) -> None:
    fake.put(b"old")
    consumer = open_consumer(**Group().subscription(**from_the_end))
    consumer.poll(max_records=10, timeout_seconds=0.1)
    fake.put(b"parent's")
    fake.split(place(0).partition)
    fake.put(b"child's")
    assert read(consumer, 2) == [b"parent's", b"child's"]


def test_closed_shards_from_before_are_passed_over(
    fake: FakeKinesis, open_consumer: Open, from_the_end: dict[str, Any]
) -> None:
    fake.put(b"old")
    fake.split(place(0).partition)
    fake.put(b"old too")
    consumer = open_consumer(**Group().subscription(**from_the_end))
    poll_until(consumer, lambda: consumer.assignment() == {place(1), place(2)})
    fake.put(b"new")
    assert read(consumer, 1) == [b"new"]


# --- positions --------------------------------------------------------------------------------------------------------


def test_sequence_numbers_are_compared_as_numbers() -> None:
    assert has_passed("100", "99")
    assert not has_passed("99", "100")
    assert has_passed(SHARD_END, "100")
    assert has_passed("100", "100.3")
    assert has_passed("100.10", "100.9")
    assert not has_passed("", "1")
