"""The log itself: what stands on it, read by a client that belongs to no group and moves no position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings

from logpipe_signals.backend import get_consumer_backend, get_offset_backend
from logpipe_signals.backend.base import Consumer, Position, Record, Subscription, TopicPartition
from logpipe_signals.exceptions import MissingTopicError

Ends = dict[TopicPartition, Position]
FIRST_POLL_SECONDS = 5.0
NEXT_POLL_SECONDS = 1.0
SHARDS = 3


def make_topics(topics: Sequence[str]) -> None:
    """Make the topics where neither the log nor its broker does it at the first message."""
    if settings.BACKEND.endswith(".kinesis"):
        from logpipe_signals.backend import kinesis

        for topic in topics:
            kinesis.create_stream(topic, SHARDS)


def ends(topics: Sequence[str]) -> Ends:
    """Return where these topics end now; a log used before has something in front."""
    found: Ends = {}
    for topic in topics:
        with _reader(topic, {}) as reader:
            try:
                reader.poll(max_records=1, timeout_seconds=0.5)
                found |= reader.end_positions(sorted(reader.assignment()))
            except MissingTopicError:
                continue
    return found


def begin_at(positions: Ends, group: str) -> None:
    """Let a group that never read anything begin here."""
    store = get_offset_backend()
    store.read(group, list(positions))
    for partition, position in positions.items():
        store.advance(group, partition, expected=None, position=position)


def read(topic: str, since: Ends, *, limit: int) -> list[Record]:
    """Return records of a topic, in order within each partition, up to its end or the limit."""
    with _reader(topic, since) as reader:
        records = found = reader.poll(max_records=limit, timeout_seconds=FIRST_POLL_SECONDS)
        ends = reader.end_positions(sorted(reader.assignment()))
        while found and len(records) < limit and _is_behind(reader, ends, since, records):
            found = reader.poll(max_records=limit, timeout_seconds=NEXT_POLL_SECONDS)
            records = [*records, *found]
    return records[:limit]


def _is_behind(reader: Consumer, ends: Ends, since: Ends, records: Sequence[Record]) -> bool:
    read_to = since | {record.topic_partition: reader.position_after(record) for record in records}
    return not all(reader.has_reached(partition, read_to.get(partition), end) for partition, end in ends.items())


def place(record: Record) -> str:
    """Return where a record stands: topic/partition@offset."""
    return f"{record.topic}/{record.partition}@{record.offset}"


@contextmanager
def _reader(topic: str, since: Ends) -> Iterator[Consumer]:
    def positions(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        return {partition: since.get(partition) for partition in partitions}

    reader = get_consumer_backend(Subscription(topics=(topic,), read_positions=positions))
    try:
        yield reader
    finally:
        reader.close()
