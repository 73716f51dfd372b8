"""
A log in memory, for tests: what one thread of this process sends, the others read. It ends with the process.

Records stay where they are read, as on a real log; `reset_topics()` forgets everything. A topic comes into being with
one partition, "0"; `create_topic("people", partitions=3)` makes one with more.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from logpipe_signals.backend import offsets, polled
from logpipe_signals.backend.base import (
    Delivered,
    Delivery,
    Layout,
    Message,
    Record,
    RecordMetadata,
    Sent,
    TopicPartition,
)
from logpipe_signals.backend.base import Producer as BaseProducer
from logpipe_signals.backend.naming import refusal_of_name
from logpipe_signals.backend.partitioning import Partitioner, layout_of
from logpipe_signals.backend.sharing import Change, Claims, fair_share, surplus_of, wanted_of


@dataclass
class _Group:
    """Who reads a topic in a group, and who holds which partition."""

    members: set[str] = field(default_factory=set)
    owners: dict[TopicPartition, str] = field(default_factory=dict)


class _Log:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.bell = polled.Bell()
        self.partitioner = Partitioner()
        self.topics: dict[str, list[list[Record]]] = {}
        self.groups: dict[tuple[str, str], _Group] = {}

    def append(self, message: Message) -> RecordMetadata:
        key = message.key.encode() if message.key else None
        partitions = self.topics.setdefault(message.topic, [[]])
        number = self.partitioner.choose(key, len(partitions))
        records = partitions[number]
        place = RecordMetadata(message.topic, str(number), len(records))
        records.append(Record(*place, time.time() * 1000, key, message.value, message.headers))
        return place

    def read(self, partition: TopicPartition) -> list[Record]:
        partitions = self.topics.get(partition.topic, [])
        number = int(partition.partition)
        return partitions[number] if number < len(partitions) else []

    def restart_after_fork(self) -> None:
        self.lock = threading.RLock()
        self.bell.reset_after_fork()


_log = _Log()
os.register_at_fork(after_in_child=_log.restart_after_fork)


def reset_topics() -> None:
    """Forget every record, topic and group."""
    with _log.lock:
        _log.topics.clear()
        _log.groups.clear()


def create_topic(topic: str, partitions: int = 1) -> None:
    """Make a topic, or give one more partitions."""
    with _log.lock:
        there = _log.topics.setdefault(topic, [])
        there.extend([] for _ in range(partitions - len(there)))
    _log.bell.ring()


def partitions_of(topic: str) -> list[list[Record]]:
    """Return the records of a topic, a list a partition."""
    with _log.lock:
        return [list(records) for records in _log.topics.get(topic, ())]


class Producer(BaseProducer):
    """Writes to the log in memory."""

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        with _log.lock:
            outcomes = [_sent(message) for message in messages]
        _log.bell.ring()
        return Delivered(outcomes)

    def layout(self, topic: str) -> Layout:
        with _log.lock:
            return layout_of(len(_log.topics.setdefault(topic, [[]])))


def _sent(message: Message) -> Sent:
    if (error := refusal_of_name(message.topic)) is not None:
        return Sent(error=error)
    return Sent(metadata=_log.append(message))


class Consumer(polled.PolledConsumer):
    """Reads the log in memory. Consumers of one group, in whatever threads, share partitions."""

    bell = _log.bell

    def make_claims(self, group: str) -> Claims:
        return _MemoryClaims(group, self.subscription.topics)

    def ends(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        with _log.lock:
            return {
                TopicPartition(topic, str(number)): len(records)
                for topic in topics
                for number, records in enumerate(_log.topics.get(topic, ()))
            }

    def first_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def offsets_at(self, partitions: Collection[TopicPartition], milliseconds: int) -> dict[TopicPartition, int]:
        with _log.lock:
            logs = {partition: _log.read(partition) for partition in partitions}
        return {
            partition: next((int(r.offset) for r in records if r.timestamp >= milliseconds), len(records))
            for partition, records in logs.items()
        }

    def fetch(self, ranges: Mapping[TopicPartition, range]) -> dict[TopicPartition, list[Record]]:
        with _log.lock:
            return {partition: _log.read(partition)[wanted.start : wanted.stop] for partition, wanted in ranges.items()}

    def pause_seconds(self) -> float:
        return 0.05 if self.subscription.group is not None else 1.0


class _MemoryClaims(Claims):
    def __init__(self, group: str, topics: Sequence[str]) -> None:
        super().__init__()
        self._member = uuid.uuid4().hex
        self._group = group
        self._topics = topics
        with _log.lock:
            for topic in topics:
                self._of(topic).members.add(self._member)

    def due(self) -> bool:
        return True

    def look(self, partitions: Collection[TopicPartition]) -> Change:
        with _log.lock:
            return Change(frozenset(), surplus_of(self.held, partitions, self._shares(partitions)))

    def release(self, partitions: Collection[TopicPartition]) -> None:
        with _log.lock:
            for partition in partitions:
                self._of(partition.topic).owners.pop(partition, None)
        self.held -= frozenset(partitions)
        if partitions:
            _log.bell.ring()

    def take(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        with _log.lock:
            free = [each for each in partitions if each not in self._of(each.topic).owners]
            taken = wanted_of(self.held, free, self._shares(partitions))
            for partition in taken:
                self._of(partition.topic).owners[partition] = self._member
        self.held |= taken
        return taken

    def leave(self) -> None:
        with _log.lock:
            for topic in self._topics:
                self._of(topic).members.discard(self._member)
        self.release(self.held)

    def _of(self, topic: str) -> _Group:
        return _log.groups.setdefault((self._group, topic), _Group())

    def _shares(self, partitions: Collection[TopicPartition]) -> dict[str, int]:
        shares = {}
        for topic in self._topics:
            members = self._of(topic).members
            members.add(self._member)
            count = sum(partition.topic == topic for partition in partitions)
            shares[topic] = fair_share(topic, count, members, self._member)
        return shares


class ModelOffsetStore(offsets.ModelOffsetStore):
    """Positions in the project's database."""

    log = "dummy"
