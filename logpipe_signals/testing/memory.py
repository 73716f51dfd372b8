"""
A log in memory between publisher and subscriber, and everything that a broker can do to them.

    with in_memory_log() as log:
        with log.away():
            joe.save()                     # stays in the outbox
        log.run()                          # relay, then consume: the subscriber has joe
        log.redeliver("people")            # once more, out of order
        log.run()

The relay and the consumer are the real ones, with their outbox, leases, positions and dead letters; only the broker is
not. In a TestCase call `log.run()`, since on_commit hooks never fire there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from django.test import override_settings

from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import Delivered, Delivery, Message, Record, Sent
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected
from logpipe_signals.publishing.inline import breaker, sweeper
from logpipe_signals.publishing.relay import RelayReport, drain
from logpipe_signals.testing.published import Published, PublishedMessage
from logpipe_signals.testing.settings import with_logpipe

Chooses = Callable[[PublishedMessage], bool]


@dataclass
class _Faults:
    away: bool = False
    loses_acknowledgements: bool = False
    refuses: list[Chooses] = field(default_factory=list)


_faults = _Faults()


class Producer(dummy.Producer):
    """The log in memory, with the faults that a test asked for."""

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        if _faults.away:
            raise BackendUnavailable("The log in memory is away, as the test asked for.")
        return Delivered([self._send(message, timeout_seconds) for message in messages])

    def _send(self, message: Message, timeout_seconds: float) -> Sent:
        seen = PublishedMessage.of(message) if _faults.refuses else None
        if seen is not None and any(refuses(seen) for refuses in _faults.refuses):
            return Sent(error=MessageRejected("The log in memory refuses this message, as the test asked for."))
        (sent,) = super().submit([message], timeout_seconds=timeout_seconds).wait(timeout_seconds)
        if _faults.loses_acknowledgements:
            return Sent(error=BackendUnavailable("The acknowledgement is lost, as the test asked for."))
        return sent


class _UntilEmpty(Loop):
    """Ends at once when there is nothing more: nobody else writes to this log."""

    def _turn(self) -> None:
        records = self.feed.take(max_records=self._wanted(), timeout_seconds=0)
        if records:
            self._apply_all(records)
        else:
            self.stop.request()


class MemoryLog:
    """A log in memory; see the module."""

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Make a topic, or give one more partitions; one that nobody made has one."""
        dummy.create_topic(topic, partitions)

    def records(self, topic: str) -> list[Record]:
        """Return what stands on a topic, partition by partition."""
        return [record for partition in dummy.partitions_of(topic) for record in partition]

    def published(self, topic: str) -> Published:
        """Return the same as messages, with their assertions."""
        raw = [Message(topic=r.topic, key=r.key_text, value=r.value, headers=r.headers) for r in self.records(topic)]
        return Published([PublishedMessage.of(message) for message in raw])

    def put(self, *records: Record) -> None:
        """Put records on the log; their offsets are the log's own."""
        messages = [Message(topic=r.topic, key=r.key_text, value=r.value, headers=r.headers) for r in records]
        dummy.Producer().submit(messages, timeout_seconds=1)

    # --- publisher to subscriber --------------------------------------------------------------------------------------

    def relay(self, using: str = "default") -> RelayReport:
        """Send what is pending in an alias's outbox; what the log does not take stays there, as with a worker."""
        try:
            return drain(using)
        except BackendUnavailable:
            return RelayReport()

    def consume(self, topics: Collection[str] = (), *, group: str = "") -> Tally:
        """Apply what stands on the declared consumers' topics, from the group's positions on."""
        consumers = declared_consumers(topics)
        for consumer in consumers:
            dummy.create_topic(consumer.topic_name)
        multi = MultiConsumer(*consumers)
        feed = multi.feed(group)
        try:
            return _UntilEmpty(feed, multi.routes(), LoopOptions(), stop=Stop()).run()
        finally:
            feed.close()

    def run(self, using: str = "default") -> Tally:
        """Send what is pending, then apply it."""
        self.relay(using)
        return self.consume()

    # --- what a broker can do -----------------------------------------------------------------------------------------

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take no message: the broker cannot be reached."""
        with patch.multiple(_faults, away=True):
            yield
        breaker.reset()

    @contextmanager
    def losing_acknowledgements(self) -> Iterator[None]:
        """Take each message and say that it is not known to have arrived: the relay sends it again later."""
        with patch.multiple(_faults, loses_acknowledgements=True):
            yield
        breaker.reset()

    @contextmanager
    def refusing(self, chooses: Chooses | None = None, **filters: Any) -> Iterator[None]:
        """Refuse messages for good, as a broker does with one that is too large: by a function, or by filters."""

        def refuses(message: PublishedMessage) -> bool:
            chosen = chooses is None or chooses(message)
            return chosen and bool(Published([message]).of(**filters))

        with patch.multiple(_faults, refuses=[*_faults.refuses, refuses]):
            yield

    def redeliver(self, topic: str, *, seed: int = 0) -> None:
        """Put every record of a topic on it once more, in another order: late duplicates."""
        again = self.records(topic)
        random.Random(seed).shuffle(again)
        self.put(*again)


@contextmanager
def in_memory_log(**settings: Any) -> Iterator[MemoryLog]:
    """
    Put the log of the block into memory, empty at its beginning and its end.

    Args:
        settings: Further keys of LOGPIPE; `RELAY="inline"` lets saves send by themselves.
    """
    chosen = {
        "PRODUCER_BACKEND": f"{__name__}.Producer",
        "CONSUMER_BACKEND": "logpipe_signals.backend.dummy.Consumer",
        "OFFSET_BACKEND": "logpipe_signals.backend.dummy.ModelOffsetStore",
        "RELAY": "worker",
        "MIN_MESSAGE_LAG_MS": 0,
        **settings,
    }
    dummy.reset_topics()
    sweeper.stop()
    try:
        with override_settings(LOGPIPE=with_logpipe(**chosen)), patch.multiple(_faults, away=False):
            yield MemoryLog()
    finally:
        sweeper.stop()
        dummy.reset_topics()
