"""
The contract of a log: what a producer, a consumer and an offset store owe, whatever broker is behind them.

One conformance suite (`logpipe_signals.testing.conformance`) holds every backend to it. Backends differ by
`supports_*`; nobody asks `isinstance`. A backend says in `check()` what is wrong with its settings.

A topic has partitions, named by text ("0", "shardId-000000000003"). A record's `offset` is its place in its partition;
a *position* is what an offset store keeps: where reading goes on. For integer offsets the position is the next offset
to read, as in Kafka; where offsets cannot be counted (Kinesis) it is the last one read: see `Consumer.position_after`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from django.core.checks import CheckMessage

from logpipe_signals.backend.bounded import within
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.exceptions import DeclarationError

Header = tuple[str, bytes]
Headers = tuple[Header, ...]
Position = int | str


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: str


class Record(NamedTuple):
    """What is read from a log. The first six members are django-logpipe's."""

    topic: str
    partition: str
    offset: Position
    timestamp: float
    """Milliseconds since 1970, by the log's clock where it keeps one."""
    key: bytes | str | None
    value: bytes | None
    """The name of a format, a colon, a body. None is a tombstone."""
    headers: Headers = ()

    @property
    def topic_partition(self) -> TopicPartition:
        """Return where the record stands, without its offset."""
        return TopicPartition(self.topic, self.partition)

    @property
    def key_text(self) -> str:
        """Return the key as text; bytes that are no UTF-8 keep a visible escape."""
        if isinstance(self.key, bytes):
            return self.key.decode(errors="backslashreplace")
        return self.key or ""


class RecordMetadata(NamedTuple):
    """Where a log put a message (django-logpipe's shape)."""

    topic: str
    partition: str
    offset: Position


class Message(NamedTuple):
    """What is sent. `value` None is a tombstone; a `key` of None or "" lets the log choose the partition."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Headers = ()


class Sent(NamedTuple):
    """The outcome of one message of a batch: either where it is, or why it is not there."""

    metadata: RecordMetadata | None = None
    error: Exception | None = None
    """`MessageRejected`: never. Anything else (`BackendUnavailable`): perhaps later, and it may have arrived."""


class Delivery(abc.ABC):
    """A batch on its way."""

    @abc.abstractmethod
    def wait(self, timeout_seconds: float) -> list[Sent]:
        """
        Return one outcome a message, in the order they were given.

        What has no acknowledgement when the time is up comes back as an error, and the client sends none of it later:
        an aborted batch is purged, or its delivery time-out has ended.
        """

    @property
    @abc.abstractmethod
    def done(self) -> bool:
        """Tell whether every outcome is known, so that `wait` returns at once."""


class Delivered(Delivery):
    """A batch whose outcomes are all known: what a log without pipelining returns."""

    def __init__(self, outcomes: Sequence[Sent]) -> None:
        self._outcomes = list(outcomes)

    def wait(self, timeout_seconds: float) -> list[Sent]:
        return self._outcomes

    @property
    def done(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Layout:
    """
    How a topic's keys are spread over its partitions now.

    partitions:   All that are written to.
    partition_of: Names the one that a key's messages go to.
    """

    partitions: tuple[str, ...]
    partition_of: Callable[[str], str]


class Backend:
    """What either side of a log tells the system checks."""

    @classmethod
    def describe(cls, topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
        """
        Ask the log about topics, for `check --deploy`; what it says nothing about is left out.

        Raises:
            BackendUnavailable: The log did not answer in time.
        """
        return {}

    @classmethod
    def check(cls) -> list[CheckMessage]:
        """Return what is wrong with this backend's settings and packages, without connecting."""
        return []


class Producer(Backend, abc.ABC):
    """
    Writes to a log. Safe to use from several threads; after a fork it makes a client of its own.

    Clients are shared: constructing a producer costs nothing, one client serves a process and setting and is flushed
    when the process exits.
    """

    supports_headers: ClassVar[bool] = True
    """Whether messages carry headers. If not, the relay puts identity and sequence into the body's `meta`."""
    supports_tombstones: ClassVar[bool] = True
    """Whether a message may have no value."""

    supports_fencing: ClassVar[bool] = False
    """Whether the log itself can refuse what a relay sends that was held up past its lease (see `fenced`)."""

    def fenced(self, owner: str) -> Producer:
        """
        Return a producer whose messages the log refuses once somebody called `fence` for its owner.

        Raises:
            DeclarationError: This log cannot do that.
        """
        raise DeclarationError(
            f"LOGPIPE['KAFKA_FENCING'] = 'transactions' needs a log that can fence, and {type(self).__module__} "
            "cannot. Use logpipe_signals.backend.kafka.Producer, or KAFKA_FENCING = 'sequence'."
        )

    def ready(self) -> None:
        """
        Get ready to send, before leases are taken or renewed: what is made later could outlive them unfenced.

        Raises:
            BackendUnavailable: The log cannot be reached.
        """

    def fence(self, owner: str) -> None:
        """
        Make the log refuse whatever a fenced producer of this owner has not had acknowledged yet.

        Raises:
            BackendUnavailable: The log cannot be reached.
        """

    @abc.abstractmethod
    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        """
        Start sending a batch. Messages of one key arrive in the order given, unless one fails for good.

        Args:
            timeout_seconds: The client gives up each of these messages by then, so none arrives later.

        Raises:
            BackendUnavailable: Nothing was taken.
        """

    def send(self, topic_name: str, key: str, value: bytes | None, headers: Headers = ()) -> RecordMetadata | None:
        """
        Send one message and wait until the log has it (django-logpipe's call).

        Raises:
            BackendUnavailable: It is not known to have arrived.
            MessageRejected: It never will.
        """
        from logpipe_signals.conf import settings

        timeout_seconds = float(settings.KAFKA_SEND_TIMEOUT)
        message = Message(topic=topic_name, key=key, value=value, headers=headers)
        (outcome,) = self.submit([message], timeout_seconds=timeout_seconds).wait(timeout_seconds)
        if outcome.error is not None:
            raise outcome.error
        return outcome.metadata

    def layout(self, topic: str) -> Layout | None:
        """
        Return how the keys of a topic are spread over its partitions; None where this log, or its settings, hide it.

        Raises:
            BackendUnavailable: The log cannot be reached.
            MissingTopicError: The topic is not there.
        """
        return None

    def flush(self, timeout_seconds: float) -> None:
        """Wait until everything that was submitted has an outcome."""

    def close(self) -> None:
        """Give up this process's client; the next call makes a new one."""


@dataclass(frozen=True, kw_only=True)
class Lag:
    """How far a position is behind the log's end: in records, or in time; None where the log cannot tell."""

    records: int | None = None
    seconds: float | None = None


ReadPositions = Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, Position | None]]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Records that the log dropped before this group read them: from `expected` up to, not including, `found`."""

    topic_partition: TopicPartition
    expected: Position
    found: Position


def _read_nothing(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
    return dict.fromkeys(partitions)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """
    What a consumer backend needs to know of its caller.

    `group` shares the topics' partitions among the processes that name it. None takes all partitions alone.
    `read_positions` is asked for the stored positions on each assignment; None there means the group never read the
    partition, and reading starts where `start` says. `revoked` is told which partitions this process no longer owns,
    before another one can own them: nothing of theirs may be committed after it returns. It is called while the
    consumer's thread is inside `poll` or `close`, though perhaps on a thread of the client's own (kafka-python 3): so
    it asks the database nothing.
    """

    topics: tuple[str, ...]
    group: str | None = None
    read_positions: ReadPositions = _read_nothing
    assigned: Callable[[Sequence[TopicPartition]], None] = field(default=lambda partitions: None)
    revoked: Callable[[Sequence[TopicPartition]], None] = field(default=lambda partitions: None)
    gap_found: Callable[[Gap], None] = field(default=lambda gap: None)
    peek_positions: ReadPositions = _read_nothing
    """Tells where the group stands in partitions that another process may own."""
    mark: Callable[[TopicPartition, Position], bool] = field(default=lambda partition, position: True)
    """
    Moves a stored position without a record, for logs with marks of their own: the end of a Kinesis shard, say. False:
    not now; what was handed out of the partition is not applied yet, or another process moved the position.
    """
    start: str = "beginning"
    """`beginning` or `end`."""
    client_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the broker's client, as `Consumer("people", consumer_timeout_ms=1000)` takes them."""


class Consumer(Backend, abc.ABC):
    """
    Reads from a log. Not thread-safe: one thread owns it.

    As an iterator it yields records one at a time and stops when none came for `consumer_timeout_ms` (client option,
    default 1000), as django-logpipe's backends do.
    """

    supports_groups: ClassVar[bool] = False
    """Whether the log itself shares partitions among a group's processes."""
    is_remote: ClassVar[bool] = False
    """Whether the log is reached by a client with connections and time-outs of its own."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self._buffer: list[Record] = []

    @abc.abstractmethod
    def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        """
        Return the next records of the assigned partitions, in order within each; empty when none came in time.

        No partition starves another. Waits without spinning.

        Raises:
            BackendUnavailable: The log cannot be reached; polling again may help.
            MissingTopicError: A topic is not there.
        """

    @abc.abstractmethod
    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions this consumer reads now."""

    @abc.abstractmethod
    def seek(self, topic_partition: TopicPartition, position: Position | None) -> None:
        """Go on reading an assigned partition at a position; None: where a group without one starts."""

    @abc.abstractmethod
    def end_positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Return the position after the last record of each partition, as of now."""

    @abc.abstractmethod
    def positions_at(self, partitions: Sequence[TopicPartition], milliseconds: int) -> dict[TopicPartition, Position]:
        """
        Return the position at which each partition's first record of this time or later stands; its end if none does.

        Args:
            milliseconds: Since 1970, by the clock of the records' timestamps.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Leave the group and give up connections. Closing twice is no error."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver nothing of these until `resume`. Unknown ones are passed over."""
        raise NotImplementedError

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver these again."""
        raise NotImplementedError

    def position_after(self, record: Record) -> Position:
        """Return the position with which reading goes on behind this record."""
        return int(record.offset) + 1

    def has_reached(self, topic_partition: TopicPartition, position: Position | None, end: Position) -> bool:
        """Tell whether a stored position is at, or behind, what `end_positions` said."""
        if isinstance(position, int) and isinstance(end, int):
            return position >= end
        return position == end or (position is None and end in (0, ""))

    @classmethod
    def lag(
        cls, positions: Mapping[TopicPartition, Position | None], *, timeout_seconds: float
    ) -> dict[TopicPartition, Lag]:
        """
        Tell how far positions are behind, without being in any group. What the log does not have is left out.

        A position of None counts from the offset 0.

        Raises:
            BackendUnavailable: The log did not answer in time.
        """

        def ask() -> dict[TopicPartition, Lag]:
            consumer = cls(Subscription(topics=tuple(sorted({each.topic for each in positions}))))
            try:
                return consumer.lag_of(positions)
            finally:
                consumer.close()

        if not positions:
            return {}
        return within(timeout_seconds, ask, "where its partitions end") if cls.is_remote else ask()

    def lag_of(self, positions: Mapping[TopicPartition, Position | None]) -> dict[TopicPartition, Lag]:
        """Compare positions with where the log ends now; logs that do not count override this."""
        ends = self.end_positions(self.existing(list(positions)))
        return {each: Lag(records=max(0, int(end) - int(positions[each] or 0))) for each, end in ends.items()}

    def existing(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return those of these partitions that the log has."""
        return list(partitions)

    def commit_to_log(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Tell the log itself about positions, where it keeps some (Kafka); elsewhere nothing happens."""

    def _forget_buffered(self, partitions: Collection[TopicPartition]) -> None:
        """Drop what the iterator read ahead of these: they are read elsewhere, or again, from here on."""
        self._buffer = [record for record in self._buffer if record.topic_partition not in partitions]

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if not self._buffer:
            timeout_ms = self.subscription.client_options.get("consumer_timeout_ms", 1000)
            self._buffer = self.poll(max_records=100, timeout_seconds=timeout_ms / 1000)[::-1]
        if not self._buffer:
            raise StopIteration
        return self._buffer.pop()


class OffsetStore(abc.ABC):
    """Keeps the positions of a consumer group."""

    supports_transactions: ClassVar[bool] = True
    """Whether positions live in the project's database and move in the transaction of the rows."""

    @abc.abstractmethod
    def read(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """Return the stored position of each partition; None where the group has none."""

    @abc.abstractmethod
    def advance(self, group: str, partition: TopicPartition, *, expected: Position | None, position: Position) -> None:
        """
        Move a position by compare-and-set. The first statement of the transaction that applies the records.

        Raises:
            PositionConflict: The stored position is not `expected`; nothing was moved.
        """

    def alias(self) -> str:
        """Return the database alias that keeps the positions."""
        return "default"
