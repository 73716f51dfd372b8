"""The family of a subscription's shards: discovered continuously, and where the group stands in each generation."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from logpipe_signals.backend.base import Gap, Position, Subscription, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.errors import missing
from logpipe_signals.backend.kinesis.positions import SHARD_END
from logpipe_signals.backend.kinesis.shards import Shard, Shards, list_shards, parents_of, passed_over, readable
from logpipe_signals.exceptions import BackendUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

logger = logging.getLogger(__name__)

LIST_EVERY_SECONDS = 10.0
LIST_MISSING_EVERY_SECONDS = 1.0


class Family:
    """All shards of the subscribed streams, and which of them may be read."""

    def __init__(self, client: KinesisClient, subscription: Subscription, *, from_the_end: bool) -> None:
        self._client = client
        self._subscription = subscription
        self._from_the_end = from_the_end
        self._shards: dict[TopicPartition, Shard] = {}
        self._finished: set[TopicPartition] = set()
        self._stored: dict[TopicPartition, Position | None] = {}
        self._missing: set[str] = set()
        self._next_list: Deadline | None = None

    # --- discovery --------------------------------------------------------------------------------------------------

    def look(self, held: Collection[TopicPartition]) -> bool:
        """
        List the shards when it is time, and tell whether it was.

        Raises:
            MissingTopicError: A stream is newly missing, or there is no other.
            BackendUnavailable: Nothing is known yet, and the service does not say.
        """
        if self._next_list is not None and not self._next_list.passed:
            return False
        try:
            self._list()
        except BackendUnavailable as error:
            self._next_list = Deadline(LIST_MISSING_EVERY_SECONDS)
            if not self._shards:
                raise
            logger.warning("The shards cannot be listed now, going on with those that are known: %s", error)
        return True

    def _list(self) -> None:
        found = {stream: list_shards(self._client, stream) for stream in self._subscription.topics}
        self._shards = {partition: shard for shards in found.values() if shards for partition, shard in shards.items()}
        absent = {stream for stream, shards in found.items() if shards is None}
        news, self._missing = absent - self._missing, absent
        self._next_list = Deadline(LIST_MISSING_EVERY_SECONDS if absent else LIST_EVERY_SECONDS)
        self._forget_gone()
        if news or absent == set(found):
            raise missing(", ".join(sorted(absent)))

    def _forget_gone(self) -> None:
        """Keep what is known of the shards there are, and of their parents, and no more: both grow for ever."""
        known = self._shards.keys() | parents_of(self._shards)
        self._finished &= known
        self._stored = {partition: position for partition, position in self._stored.items() if partition in known}

    @property
    def shards(self) -> Shards:
        """Return all shards there are, as last listed."""
        return self._shards

    def finished(self, partitions: Iterable[TopicPartition]) -> None:
        """Note that shards are done with; what came of them is looked for at once."""
        self._finished.update(partitions)
        self._next_list = None

    # --- who may be read --------------------------------------------------------------------------------------------

    def readable(self, held: Collection[TopicPartition]) -> set[TopicPartition]:
        """Return the shards that the group may read now, those held by this process included."""
        self._ask_where_the_group_stands(held)
        done = self._finished | self._passed_over(held)
        return readable(self._shards, done) | set(held) - self._finished

    def is_descendant(self, partition: TopicPartition) -> bool:
        """Tell whether the group has begun a shard that this one came of: then it is read from its first record."""
        shard = self._shards.get(partition)
        return shard is not None and any(self._is_begun(parent) for parent in shard.parents)

    def lost_before(self, partition: TopicPartition) -> list[Gap]:
        """Return what the group had not read of the shard's parents when the stream dropped them."""
        shard = self._shards.get(partition)
        gone = sorted(shard.parents - self._shards.keys() - self._finished) if shard is not None else []
        return [
            Gap(topic_partition=parent, expected=position, found=SHARD_END)
            for parent in gone
            if (position := self._stored.get(parent)) is not None
        ]

    def _ask_where_the_group_stands(self, held: Collection[TopicPartition]) -> None:
        others = (self._shards.keys() | parents_of(self._shards)) - self._finished - set(held)
        if not others:
            return
        self._stored.update(self._subscription.peek_positions(sorted(others)))
        self._finished.update(partition for partition in others if self._stored.get(partition) == SHARD_END)

    def _passed_over(self, held: Collection[TopicPartition]) -> set[TopicPartition]:
        if not self._from_the_end:
            return set()
        begun = {partition for partition in self._stored if self._is_begun(partition)}
        return passed_over(self._shards, begun | self._finished | set(held))

    def _is_begun(self, partition: TopicPartition) -> bool:
        return partition in self._finished or self._stored.get(partition) is not None
