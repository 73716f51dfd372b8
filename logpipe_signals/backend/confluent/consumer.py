"""Reading from Kafka through librdkafka."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_END, KafkaError, KafkaException
from django.core.checks import CheckMessage
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Gap, Position, Record, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.confluent import config, errors
from logpipe_signals.backend.confluent.describing import describe
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.exceptions import DeclarationError, MissingTopicError

logger = logging.getLogger(__name__)

SLICE_SECONDS = 0.2
"""The client is asked in slices, so that what was assigned meanwhile is taken up soon."""
ANSWER_SECONDS = 10.0
ELECTION_SECONDS = 5.0
"""How long a partition without a leader is waited for."""
LOOK_FOR_MISSING_SECONDS = 1.0
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_IN_PASSING = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT}
)
"""Errors that the client gets over by itself, or that are noticed elsewhere."""


class Consumer(base.Consumer):
    """
    Reads from Kafka: as a member of a consumer group, or, without one, all partitions of its topics.

    Positions come from `read_positions`, never from a reset policy: where the log has none of the records at a
    position any more, the gap is reported and reading goes on at the log's start.
    """

    supports_groups = True
    is_remote = True

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(subscription)
        self._client: Any = None
        self._closed = False
        self._fresh: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._missing: set[str] = set()
        self._next_look: Deadline | None = None
        self._look_seconds = 0.0

    # --- the contract -------------------------------------------------------------------------------------------

    def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        deadline = Deadline(timeout_seconds)
        with _reachable("reading"):
            self._connect()
            self._look_for_topics(max(1.0, timeout_seconds))
            while True:
                self._adopt()
                records = self._poll_slice(max_records, deadline)
                if records or (deadline.passed and not self._fresh):
                    return records

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def seek(self, topic_partition: TopicPartition, position: Position | None) -> None:
        if topic_partition in self._positions:
            self._forget_buffered({topic_partition})
            with _reachable("positions"):
                self._go_to(topic_partition, self._start(topic_partition, position))

    def end_positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        with _reachable("end positions"):
            self._connect()
            return {partition: self._edges(partition)[1] for partition in partitions}

    def existing(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        with _reachable("partitions"):
            self._connect()
            known = {each for topic in self.subscription.topics for each in self._partitions_of(topic, ANSWER_SECONDS)}
        return [each for each in partitions if each in known]

    def positions_at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, Position]:
        with _reachable("positions of a time"):
            self._connect()
            asked = [_theirs(partition, milliseconds) for partition in partitions]
            found = self._client.offsets_for_times(asked, timeout=ANSWER_SECONDS) if asked else []
            return {_ours(each): self._offset_or_end(each) for each in found}

    def _offset_or_end(self, found: Any) -> int:
        if found.error is not None:
            raise KafkaException(found.error)
        return found.offset if found.offset >= 0 else self._edges(_ours(found))[1]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        if known := self._positions.keys() & set(partitions):
            self._paused |= known
            self._client.pause([_theirs(partition) for partition in known])

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        if known := self._paused & set(partitions):
            self._paused -= known
            self._client.resume([_theirs(partition) for partition in known])

    def commit_to_log(self, positions: Mapping[TopicPartition, Position]) -> None:
        if self._client is None or self.subscription.group is None or not positions:
            return
        offsets = [_theirs(partition, int(position)) for partition, position in positions.items()]
        with _reachable("committing positions"):
            self._client.commit(offsets=offsets, asynchronous=False)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._give_up(set(self._positions) | self._fresh)
        finally:
            if self._client is not None:
                self._client.close()

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        return describe(topics, timeout_seconds=timeout_seconds)

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return config.check("KAFKA_CONSUMER_KWARGS")

    # --- the client ---------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._client is not None:
            return
        properties = config.consumer_config(self.subscription.group, self.subscription.client_options)
        self._look_seconds = int(properties["topic.metadata.refresh.interval.ms"]) / 1000
        try:
            self._client = confluent_kafka.Consumer(properties)
        except (KafkaException, ValueError, TypeError) as error:
            raise DeclarationError(
                f"librdkafka refuses the settings of a consumer ({type(error).__name__}). LOGPIPE's KAFKA_KWARGS, "
                f"KAFKA_CONSUMER_KWARGS and the consumer's own options give: {', '.join(sorted(properties))}. "
                "Run manage.py check."
            ) from None
        if self.subscription.group is not None:
            self._client.subscribe(
                list(self.subscription.topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_revoke,
            )

    def _poll_slice(self, max_records: int, deadline: Deadline) -> list[Record]:
        # consume() waits until it has all it was asked for: so it waits for one, and takes what else is there.
        messages = self._client.consume(1, min(SLICE_SECONDS, deadline.remaining_seconds))
        if messages and max_records > 1:
            messages += self._client.consume(max_records - 1, 0)
        records = []
        for message in messages:
            if message.error() is not None:
                self._get_over(message)
            elif (partition := _named(message.topic(), message.partition())) in self._positions:
                offset = message.offset()
                self._positions[partition] = offset + 1
                records.append(_record(message, partition, offset))
        return records

    def _get_over(self, message: Any) -> None:
        error = message.error()
        partition = _named(message.topic(), message.partition())
        if error.code() in _OUT_OF_RANGE:
            if partition in self._positions:
                self._go_on_at_the_start(partition)
        elif error.code() not in _IN_PASSING:
            logger.warning("Kafka on %s: %s: %s", "/".join(map(str, partition)), error.name(), error.str())

    # --- which partitions ---------------------------------------------------------------------------------------

    def _look_for_topics(self, timeout_seconds: float) -> None:
        """
        Without a group: take what partitions there are. In both cases: say once which topics are not there.

        Raises:
            MissingTopicError: Newly noticed, or nothing else is left to read.
        """
        if self._next_look is not None and not self._next_look.passed:
            return
        found = {topic: self._partitions_of(topic, timeout_seconds) for topic in self.subscription.topics}
        if self.subscription.group is None:
            self._fresh |= {each for partitions in found.values() for each in partitions} - self._positions.keys()
        missing = {topic for topic, partitions in found.items() if not partitions}
        self._next_look = Deadline(LOOK_FOR_MISSING_SECONDS if missing else self._look_seconds)
        news, self._missing = missing - self._missing, missing
        if news or missing == set(self.subscription.topics):
            names = ", ".join(sorted(missing))
            raise MissingTopicError(
                f"Could not find topic {names}. Does it exist? Create it on Kafka, or correct its name."
            )

    def _partitions_of(self, topic: str, timeout_seconds: float) -> list[TopicPartition]:
        found = self._client.list_topics(topic, timeout=min(ANSWER_SECONDS, timeout_seconds)).topics[topic]
        return [TopicPartition(topic, str(number)) for number in sorted(found.partitions)]

    def _on_assign(self, client: Any, partitions: Sequence[Any]) -> None:
        # Nothing is read until the positions are known, outside of librdkafka's callback: see `_adopt`.
        client.assign([])
        self._fresh = {_ours(partition) for partition in partitions}

    def _on_revoke(self, client: Any, partitions: Sequence[Any]) -> None:
        try:
            self._give_up({_ours(partition) for partition in partitions})
        finally:
            client.unassign()

    def _adopt(self) -> None:
        """Start reading what was assigned, at its stored positions: librdkafka takes them with the assignment only."""
        fresh = sorted(self._fresh)
        if not fresh:
            return
        stored = self.subscription.read_positions(fresh)
        starts = {partition: self._start(partition, stored.get(partition)) for partition in fresh}
        self._positions.update(starts)
        self._assign()
        self._fresh.difference_update(fresh)
        self.subscription.assigned(fresh)

    def _assign(self) -> None:
        """Let librdkafka read all of these from where this consumer is: what it had fetched ahead is fetched again."""
        self._client.assign([_theirs(partition, offset) for partition, offset in self._positions.items()])
        if self._paused:
            self._client.pause([_theirs(partition) for partition in self._paused])

    def _give_up(self, partitions: Collection[TopicPartition]) -> None:
        known = sorted(self._positions.keys() & set(partitions))
        self._fresh.difference_update(partitions)
        for partition in known:
            del self._positions[partition]
            self._paused.discard(partition)
        self._forget_buffered(known)
        if known:
            self.subscription.revoked(known)

    # --- where to read ------------------------------------------------------------------------------------------

    def _start(self, partition: TopicPartition, position: Position | None) -> int:
        if position is not None:
            return int(position)
        return self._edges(partition)[1 if self.subscription.start == "end" else 0]

    @retry(
        retry=retry_if_exception(errors.is_election),
        stop=stop_after_delay(ELECTION_SECONDS),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def _edges(self, partition: TopicPartition) -> tuple[int, int]:
        first, end = self._client.get_watermark_offsets(_theirs(partition), timeout=ANSWER_SECONDS, cached=False)
        return first, end

    def _go_to(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset
        try:
            self._client.seek(_theirs(partition, offset))
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise
            # It does not seek where it has not begun to read, or has stopped to.
            self._assign()

    def _go_on_at_the_start(self, partition: TopicPartition) -> None:
        expected, found = self._positions[partition], self._edges(partition)[0]
        self._go_to(partition, found)
        self.subscription.gap_found(Gap(topic_partition=partition, expected=expected, found=found))


@contextlib.contextmanager
def _reachable(doing: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise errors.unavailable(doing, error.args[0]) from error


def _record(message: Any, partition: TopicPartition, offset: int) -> Record:
    headers = message.headers()
    headers = tuple([(name, value or b"") for name, value in headers]) if headers else ()
    return Record(*partition, offset, message.timestamp()[1], message.key(), message.value(), headers)


@lru_cache(maxsize=4096)
def _named(topic: str, number: int) -> TopicPartition:
    return TopicPartition(topic, str(number))


def _ours(partition: Any) -> TopicPartition:
    return TopicPartition(partition.topic, str(partition.partition))


def _theirs(partition: TopicPartition, offset: int = OFFSET_END) -> Any:
    return confluent_kafka.TopicPartition(partition.topic, int(partition.partition), offset)
