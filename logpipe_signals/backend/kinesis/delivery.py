"""A batch on its way to Kinesis: what became of each of its messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from logpipe_signals.backend.base import Delivery, Message, RecordMetadata, Sent
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.client import CONNECT_SECONDS
from logpipe_signals.backend.kinesis.errors import unavailable


class KinesisDelivery(Delivery):
    """The entries of a batch, in their order. All of them have an outcome when the deadline has passed."""

    def __init__(self, timeout_seconds: float) -> None:
        self.deadline = Deadline(timeout_seconds)
        self.spare_seconds = min(CONNECT_SECONDS, timeout_seconds / 4)
        """No call begins later than this before the deadline: it may have to connect first."""
        self.entries: Sequence[Entry] = ()
        self.give_up: Callable[[KinesisDelivery], None] = lambda delivery: None
        self._open = 0
        self._all_settled = threading.Event()

    def begin(self, entries: Sequence[Entry]) -> None:
        """Take the entries; each of them is settled once."""
        self.entries = entries
        self._open = len(entries)
        if not entries:
            self._all_settled.set()

    @property
    def is_late(self) -> bool:
        """Tell whether no further call may begin."""
        return self.deadline.remaining_seconds <= self.spare_seconds

    def settled_one(self) -> None:
        """One more outcome is known."""
        self._open -= 1
        if not self._open:
            self._all_settled.set()

    @property
    def done(self) -> bool:
        return self._all_settled.is_set()

    def wait(self, timeout_seconds: float) -> list[Sent]:
        if not self._all_settled.wait(min(timeout_seconds, self.deadline.remaining_seconds)):
            self.give_up(self)
        return [entry.outcome or Sent() for entry in self.entries]


@dataclass(kw_only=True, eq=False, slots=True)
class Entry:
    """A message on its way. Of one stream and partition key, one is sent at a time."""

    message: Message
    partition_key: str
    size: int
    delivery: KinesisDelivery
    attempts: int = 0
    alone: bool = False
    """Sent by itself: a call that it shared was refused."""
    outcome: Sent | None = None

    @property
    def queue(self) -> tuple[str, str]:
        """Return the name of the queue it stands in."""
        return (self.message.topic, self.partition_key)

    def arrived(self, shard: str, sequence_number: str) -> None:
        """Note where it is."""
        self._settle(Sent(metadata=RecordMetadata(self.message.topic, shard, sequence_number)))

    def failed(self, error: Exception) -> None:
        """Note why it is not there."""
        self._settle(Sent(error=error))

    def late(self) -> None:
        """Note that its time is up."""
        self.failed(unavailable(f"stream {self.message.topic!r}", "no acknowledgement came in time"))

    def _settle(self, outcome: Sent) -> None:
        # The first outcome holds: who was told of a failure is not told of an arrival later.
        if self.outcome is None:
            self.outcome = outcome
            self.delivery.settled_one()
