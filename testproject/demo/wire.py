"""The log itself: what stands on it, read by a client that belongs to no group and moves no position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from logpipe_signals.backend import get_consumer_backend, get_offset_backend
from logpipe_signals.backend.base import Consumer, Position, Record, Subscription, TopicPartition
from logpipe_signals.exceptions import MissingTopicError

Ends = dict[TopicPartition, Position]
FIRST_POLL_SECONDS = 5.0


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
    records: list[Record] = []
    with _reader(topic, since) as reader:
        found = reader.poll(max_records=limit, timeout_seconds=FIRST_POLL_SECONDS)
        while found and len(records) < limit:
            records += found
            found = reader.poll(max_records=limit, timeout_seconds=0.5) if _is_behind(reader, records) else []
    return records[:limit]


def _is_behind(reader: Consumer, records: Sequence[Record]) -> bool:
    read_to = {record.topic_partition: int(record.offset) + 1 for record in records}
    ends = reader.end_positions(sorted(reader.assignment()))
    return any(int(end) > read_to.get(partition, 0) for partition, end in ends.items())


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
