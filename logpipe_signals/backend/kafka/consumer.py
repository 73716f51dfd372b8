"""Reading from Kafka through kafka-python."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import kafka
import kafka.errors
from django.core.checks import CheckMessage
from kafka.structs import OffsetAndMetadata

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Gap, Position, Record, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.kafka import config, errors
from logpipe_signals.backend.kafka.describing import describe
from logpipe_signals.exceptions import DeclarationError, MissingTopicError

logger = logging.getLogger(__name__)

SLICE_SECONDS = 0.2
"""The client is asked in slices, so that what was assigned meanwhile is taken up soon."""
OFFSETS_TIMEOUT_MS = 10_000
"""How long a question for offsets, or for what topics there are, waits for its answer."""
LOOK_FOR_TOPICS_SECONDS = 1.0

open_consumers: weakref.WeakSet[Consumer] = weakref.WeakSet()
"""For `KafkaOffsetStore`, which commits through the consumer that holds a partition."""


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
        self._fresh: set[Any] = set()
        self._owned: set[Any] = set()
        self._missing: set[str] = set()
        self._next_look: Deadline | None = None

    # --- the contract -------------------------------------------------------------------------------------------

    def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        deadline = Deadline(timeout_seconds)
        with _reachable("reading"):
            self._connect(timeout_seconds)
            self._look_for_topics()
            while True:
                self._adopt()
                records = self._poll_slice(max_records, deadline)
                if records or (deadline.passed and not self._fresh):
                    return records

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(_ours(partition) for partition in self._owned - self._fresh)

    def seek(self, topic_partition: TopicPartition, position: Position | None) -> None:
        partition = _theirs(topic_partition)
        if partition in self._owned:
            self._forget_buffered({topic_partition})
            with _reachable("positions"):
                self._client.seek(partition, self._starts({partition: position})[partition])

    def end_positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        with _reachable("end positions"):
            self._connect(config.CONNECT_SECONDS)
            ends = self._client.end_offsets([_theirs(each) for each in partitions])
        return {_ours(partition): offset for partition, offset in ends.items()}

    def existing(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        with _reachable("partitions"):
            self._connect(config.CONNECT_SECONDS)
            known = {topic: self._client.partitions_for_topic(topic) or () for topic in self.subscription.topics}
        return [each for each in partitions if int(each.partition) in known.get(each.topic, ())]

    def positions_at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, Position]:
        theirs = [_theirs(each) for each in partitions]
        with _reachable("positions of a time"):
            self._connect(config.CONNECT_SECONDS)
            found = self._client.offsets_for_times(dict.fromkeys(theirs, milliseconds)) if theirs else {}
            ends = self._edge_offsets([each for each in theirs if found.get(each) is None], "end")
        return {_ours(each): ends[each] if each in ends else found[each].offset for each in theirs}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._client_do("pause", partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._client_do("resume", partitions)

    def commit_to_log(self, positions: Mapping[TopicPartition, Position]) -> None:
        if self._client is None or self._client.config["group_id"] is None or not positions:
            return
        offsets = {_theirs(each): OffsetAndMetadata(int(position), "", -1) for each, position in positions.items()}
        with _reachable("committing positions"):
            self._client.commit(offsets, timeout_ms=OFFSETS_TIMEOUT_MS)

    # --- for KafkaOffsetStore -----------------------------------------------------------------------------------

    @property
    def group_id(self) -> str | None:
        """Return the group under which Kafka keeps positions for this client."""
        return None if self._client is None else self._client.config["group_id"]

    def owns(self, topic_partition: TopicPartition) -> bool:
        """Tell whether the partition is assigned to this consumer, be it only just now."""
        return _theirs(topic_partition) in self._owned

    def committed(self, topic_partition: TopicPartition) -> Position | None:
        """Return the position that Kafka's group has."""
        with _reachable("committed positions"):
            return self._client.committed(_theirs(topic_partition), timeout_ms=OFFSETS_TIMEOUT_MS)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        open_consumers.discard(self)
        try:
            self.give_up(set(self._owned))
        finally:
            self._close_client()

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        return describe(topics, timeout_seconds=timeout_seconds)

    @classmethod
    def check(cls) -> list[CheckMessage]:
        return config.check_consumer()

    # --- the client ---------------------------------------------------------------------------------------------

    def _connect(self, timeout_seconds: float) -> None:
        if self._client is None:
            self._client = _new_client(self.subscription, timeout_seconds)
            # The one bound on questions about offsets that kafka-python 2 and 3 share.
            self._client.config["request_timeout_ms"] = OFFSETS_TIMEOUT_MS
            open_consumers.add(self)
            if self.subscription.group is not None:
                self._client.subscribe(topics=self.subscription.topics, listener=_Listener(self))

    def _close_client(self) -> None:
        if self._client is None:
            return
        try:
            self._client.close(autocommit=False)
        except kafka.errors.KafkaError as error:
            logger.warning("A Kafka consumer left its group unannounced: %s", error)

    def _client_do(self, verb: str, partitions: Sequence[TopicPartition]) -> None:
        owned = [_theirs(each) for each in partitions if _theirs(each) in self._owned]
        if owned:
            getattr(self._client, verb)(*owned)

    def _poll_slice(self, max_records: int, deadline: Deadline) -> list[Record]:
        slice_seconds = min(SLICE_SECONDS, deadline.remaining_seconds)
        try:
            found = self._client.poll(timeout_ms=int(1000 * slice_seconds), max_records=max_records)
        except kafka.errors.OffsetOutOfRangeError as error:
            self._go_on_at_the_start(error.args[0])
            return []
        except kafka.errors.KafkaError as error:
            if not hasattr(error, "divergent_offsets"):
                raise
            self._go_on_where_the_log_was_cut(error.divergent_offsets)
            return []
        return [_record(record) for records in found.values() for record in records]

    # --- which partitions ---------------------------------------------------------------------------------------

    def _look_for_topics(self) -> None:
        """
        Without a group: take what partitions there are. In both cases: say once which topics are not there.

        Raises:
            MissingTopicError: Newly noticed, or nothing else is left to read.
        """
        if self._next_look is not None and not self._next_look.passed:
            return
        found = {topic: self._client.partitions_for_topic(topic) for topic in self.subscription.topics}
        self._next_look = Deadline(LOOK_FOR_TOPICS_SECONDS)
        if self.subscription.group is None:
            self._assign_by_hand(found)
        missing = {topic for topic, partitions in found.items() if not partitions}
        news, self._missing = missing - self._missing, missing
        if news or missing == set(self.subscription.topics):
            names = ", ".join(sorted(missing))
            raise MissingTopicError(
                f"Could not find topic {names}. Does it exist? Create it on Kafka, or correct its name."
            )

    def _assign_by_hand(self, found: Mapping[str, Collection[int]]) -> None:
        partitions = {kafka.TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers}
        if new := partitions - self._owned:
            self._client.assign(sorted(partitions | self._owned))
            self.take(new)

    def take(self, partitions: Collection[Any]) -> None:
        """Note what was assigned. It is held back until its positions are known: see `_adopt`."""
        if not partitions:
            return
        self._client.pause(*partitions)
        for partition in partitions:
            self._client.seek(partition, 0)
        self._fresh.update(partitions)
        self._owned.update(partitions)

    def _adopt(self) -> None:
        """Start reading what was assigned, at its stored positions."""
        fresh = sorted(self._fresh)
        if not fresh:
            return
        stored = self.subscription.read_positions([_ours(partition) for partition in fresh])
        starts = self._starts({partition: stored.get(_ours(partition)) for partition in fresh})
        for partition, offset in starts.items():
            self._client.seek(partition, offset)
        self._client.resume(*fresh)
        self._fresh.difference_update(fresh)
        self.subscription.assigned([_ours(partition) for partition in fresh])

    def give_up(self, partitions: Collection[Any]) -> None:
        """Tell the caller what is no longer this consumer's."""
        known = sorted(_ours(partition) for partition in (set(partitions) & self._owned) - self._fresh)
        self._owned.difference_update(partitions)
        self._fresh.difference_update(partitions)
        self._forget_buffered(known)
        if known:
            self.subscription.revoked(known)

    # --- where to read ------------------------------------------------------------------------------------------

    def _starts(self, stored: Mapping[Any, Position | None]) -> dict[Any, int]:
        new = [partition for partition, position in stored.items() if position is None]
        fresh = self._edge_offsets(new, self.subscription.start)
        return {each: fresh[each] if position is None else int(position) for each, position in stored.items()}

    def _edge_offsets(self, partitions: Sequence[Any], edge: str) -> dict[Any, int]:
        if not partitions:
            return {}
        ask = self._client.end_offsets if edge == "end" else self._client.beginning_offsets
        return dict(ask(list(partitions)))

    def _go_on_at_the_start(self, positions: Mapping[Any, int]) -> None:
        for partition, first in self._edge_offsets(list(positions), "beginning").items():
            self._skip(partition, positions[partition], first)

    def _go_on_where_the_log_was_cut(self, cuts: Mapping[Any, OffsetAndMetadata | None]) -> None:
        unknown = [partition for partition, cut in cuts.items() if cut is None]
        starts = self._edge_offsets(unknown, "beginning")
        for partition, cut in cuts.items():
            expected = self._client.position(partition, timeout_ms=0) or 0
            self._skip(partition, expected, starts[partition] if cut is None else cut.offset)

    def _skip(self, partition: Any, expected: int, found: int) -> None:
        self._client.seek(partition, found)
        self.subscription.gap_found(Gap(topic_partition=_ours(partition), expected=expected, found=found))


class _Listener(kafka.ConsumerRebalanceListener):
    """Passes on what the group decides. kafka-python 3 calls it on its own thread, while the owner waits in poll."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = weakref.ref(consumer)

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        if (consumer := self._consumer()) is not None:
            consumer.give_up(revoked)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        if (consumer := self._consumer()) is not None:
            consumer.take(assigned)


def _new_client(subscription: Subscription, timeout_seconds: float) -> Any:
    made: list[Any] = []
    arguments = config.consumer_config(subscription.group, subscription.client_options)
    factory = arguments.pop("kafka_client", kafka.KafkaConsumer.DEFAULT_CONFIG["kafka_client"])

    def make(*args: Any, **kwargs: Any) -> Any:
        made.append(_giving_up(factory(*args, **kwargs)))
        return made[-1]

    bounds = config.bounded_connect(kafka.KafkaConsumer, timeout_seconds)
    try:
        return kafka.KafkaConsumer(**{**bounds, **arguments}, kafka_client=make)
    except Exception as error:
        for client in made:
            client.close()
        if errors.refuses_settings(error):
            raise DeclarationError(
                f"kafka-python {kafka.__version__} refuses the settings of a consumer ({type(error).__name__}). "
                f"LOGPIPE's KAFKA_KWARGS, KAFKA_CONSUMER_KWARGS and the consumer's own options give: "
                f"{', '.join(sorted(arguments))}. Run manage.py check."
            ) from None
        raise


def _giving_up(client: Any) -> Any:
    """
    Let a client of kafka-python 2 give up the questions that it would put to an unreachable broker for ever.

    Those are the ones for metadata: with a refused password no answer ever comes. kafka-python 3 gives up by itself.
    """
    if not kafka.__version__.startswith("2."):
        return client
    poll = client.poll

    def bounded(timeout_ms: int | None = None, future: Any = None) -> Any:
        endless = timeout_ms is None and future is not None
        responses = poll(timeout_ms=OFFSETS_TIMEOUT_MS if endless else timeout_ms, future=future)
        if endless and not future.is_done:
            client.cluster.need_all_topic_metadata = False  # What the caller would have put back.
            raise kafka.errors.KafkaTimeoutError(f"No answer for {OFFSETS_TIMEOUT_MS / 1000:.0f} s.")
        return responses

    client.poll = bounded
    return client


@contextlib.contextmanager
def _reachable(doing: str) -> Iterator[None]:
    try:
        yield
    except errors.FAILURES as error:
        raise errors.unavailable(doing, error) from error


def _record(record: Any) -> Record:
    headers = tuple((name, value or b"") for name, value in record.headers)
    place = (record.topic, str(record.partition), record.offset)
    return Record(*place, record.timestamp, record.key, record.value, headers)


def _ours(partition: Any) -> TopicPartition:
    return TopicPartition(partition.topic, str(partition.partition))


def _theirs(partition: TopicPartition) -> Any:
    return kafka.TopicPartition(partition.topic, int(partition.partition))
