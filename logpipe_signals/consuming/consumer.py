"""
The public faces of consuming: `Consumer` for one topic, `MultiConsumer` for several in one process.

    consumer = Consumer("people", consumer_timeout_ms=1000)
    consumer.register(PersonSerializer)
    consumer.run()

    for record, serializer in consumer:                # or by hand
        with transaction.atomic():
            serializer.save()
            consumer.commit(record)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.backend.base import Consumer as LogConsumer
from logpipe_signals.backend.base import Record
from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.apply import Applier
from logpipe_signals.consuming.batch import Batch, Item
from logpipe_signals.consuming.by_hand import serializer_for
from logpipe_signals.consuming.feed import Feed, FeedOptions
from logpipe_signals.consuming.gaps import gap_policy
from logpipe_signals.consuming.incoming import Refused
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.registry import SerializerClass, SubscriptionOptions

READ_AHEAD = 100


class Consumer(Iterator[tuple[Record, Any]]):
    """
    Applies one topic's messages.

    Iterated by hand it yields (record, serializer) pairs with the serializer validated, and stops when no record came
    for `consumer_timeout_ms` (1000). By itself it reads all partitions of its topic; `manage.py run_consumer` shares
    them with other processes of the group.

    Args:
        topic_name: The topic (Kinesis: the stream).
        throw_errors: Raise for a record that cannot be applied, instead of what the options' policies say.
        options: See `SubscriptionOptions`; everything else goes to the broker's client.
    """

    def __init__(self, topic_name: str, throw_errors: bool = False, **options: Any) -> None:
        chosen = {name: options.pop(name) for name in SubscriptionOptions.names() & options.keys()}
        self.topic_name = topic_name
        self.client_options: Mapping[str, Any] = options
        self.routes = Routes(SubscriptionOptions(**chosen), throw_errors=throw_errors)

    def __repr__(self) -> str:
        return f"<Consumer {self.topic_name}>"

    @property
    def throw_errors(self) -> bool:
        """Whether a record that cannot be applied raises."""
        return self.routes.throw_errors

    @throw_errors.setter
    def throw_errors(self, value: bool) -> None:
        self.routes.throw_errors = value

    @property
    def serializer_classes(self) -> dict[str, dict[int, SerializerClass]]:
        """The registered serializers by type and version."""
        return self.routes.serializer_classes()

    @property
    def ignored_message_types(self) -> set[str]:
        """The types that are passed over silently."""
        return self.routes.ignored

    @property
    def consumer(self) -> LogConsumer:
        """The backend's consumer (django-logpipe's name for it)."""
        return self._feed.client

    def register(self, serializer_class: SerializerClass, **options: Any) -> None:
        """
        Apply messages of this serializer's type and version through it.

        Args:
            options: See `SubscriptionOptions`; by default those of the consumer.

        Raises:
            DeclarationError: MESSAGE_TYPE or VERSION is missing or wrong.
        """
        self.routes.add(serializer_class, SubscriptionOptions(**options) if options else None)

    def add_ignored_message_type(self, message_type: str) -> None:
        """Pass over this type silently."""
        self.routes.ignored.add(message_type)

    def run(self, iter_limit: int = 0) -> Tally:
        """
        Apply records until none came for `consumer_timeout_ms`, or `iter_limit` of them were applied.

        Rows and position are written in one transaction.
        """
        options = LoopOptions(limit=iter_limit, end_when_idle=True)
        return Loop(self._feed, {self.topic_name: self.routes}, options, stop=Stop()).run()

    def commit(self, message: Record) -> None:
        """
        Move the position behind a record, in the caller's transaction if there is one.

        Raises:
            PositionConflict: Another consumer of the group moved it.
        """
        self._positions.commit(message.topic_partition, self._feed.client.position_after(message))

    def close(self) -> None:
        """Give up the connection to the log; the next use makes a new one."""
        self._feed.close()

    # --- by hand ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[tuple[Record, Any]]:
        return self if self.throw_errors else self._passing_over()

    def __next__(self) -> tuple[Record, Any]:
        record = self._next_record()
        found = self._understand(record)
        if isinstance(found, Refused):
            raise found.error
        return record, found

    def _passing_over(self) -> Iterator[tuple[Record, Any]]:
        while True:
            try:
                record = self._next_record()
            except StopIteration:
                return
            found = self._understand(record)
            if isinstance(found, Refused):
                self._set_aside(found)
            else:
                yield record, found

    def _next_record(self) -> Record:
        while True:
            idle_seconds = self._feed.idle_seconds
            records = self._feed.take(max_records=1, timeout_seconds=min(idle_seconds, 60.0), read_ahead=READ_AHEAD)
            if records:
                return records[0]
            if not self._feed.is_holding and idle_seconds <= 60.0:
                raise StopIteration

    def _understand(self, record: Record) -> Any:
        what = self.routes.decode(record)
        if isinstance(what, Refused):
            return what
        try:
            return serializer_for(what)
        except Exception as error:  # noqa: BLE001  (user code raises what it likes; the policy decides)
            return Refused.of(what, error)

    def _set_aside(self, refused: Refused) -> None:
        position_after = self._feed.client.position_after(refused.record)
        item = Item(what=refused, position_after=position_after)
        Applier(self._positions).apply(Batch(partition=refused.record.topic_partition, items=[item]))

    # --- parts --------------------------------------------------------------------------------------------------------

    @cached_property
    def _positions(self) -> Positions:
        return Positions(get_offset_backend(), consumer_group())

    @cached_property
    def _feed(self) -> Feed:
        options = FeedOptions(topics=(self.topic_name,), client_options=self.client_options)
        return Feed(options, self._positions, gap_found=gap_policy({self.topic_name: self.routes}))


class MultiConsumer:
    """
    Applies several topics in one process, with one poll for all of them: none waits for an idle one.

    Consumers of the same topic share its records: each type and version goes to the first one that registered it.
    """

    def __init__(self, *consumers: Consumer) -> None:
        self.consumers = list(consumers)

    def run(self, iter_limit: int = 0) -> Tally:
        """Apply records for ever; with `iter_limit`, until that many were applied or none came for a while."""
        options = LoopOptions(limit=iter_limit, end_when_idle=iter_limit > 0)
        feed = self.feed()
        try:
            return Loop(feed, self.routes(), options, stop=Stop()).run()
        finally:
            feed.close()

    def routes(self) -> dict[str, Routes]:
        """Return the routes of each topic."""
        merged: dict[str, Routes] = {}
        for consumer in self.consumers:
            known = merged.get(consumer.topic_name)
            if known is None:
                known = merged[consumer.topic_name] = Routes(consumer.routes.options)
                known.throw_errors = consumer.routes.throw_errors
            known.adopt(consumer.routes)
        return merged

    def feed(self, group: str = "", *, shared: bool = False, **feed_options: Any) -> Feed:
        """Return a new feed of all topics, alone with their partitions or sharing them with the group."""
        routes, group = self.routes(), group or consumer_group()
        client_options = {name: value for c in reversed(self.consumers) for name, value in c.client_options.items()}
        options = FeedOptions(
            topics=tuple(routes), group=group if shared else None, client_options=client_options, **feed_options
        )
        return Feed(options, Positions(get_offset_backend(), group), gap_found=gap_policy(routes))


__all__ = ["Consumer", "MultiConsumer"]
