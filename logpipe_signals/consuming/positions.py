"""
Where the group stands in each partition, as last read or written.

What a compare-and-set expects is this, never a record's offset: a compacted log has gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db import transaction

from logpipe_signals.backend.base import OffsetStore, Position, TopicPartition
from logpipe_signals.consuming.audits.touched import TouchedKeys
from logpipe_signals.consuming.dead_letters import OpenLetters
from logpipe_signals.exceptions import PositionConflict


class Positions:
    """The positions of this process's partitions."""

    def __init__(self, store: OffsetStore, group: str) -> None:
        self.store = store
        self.group = group
        self._committed: dict[TopicPartition, Position | None] = {}
        self._written: dict[TopicPartition, Position | None] = {}
        self._reads: dict[TopicPartition, int] = {}
        self._lost: set[TopicPartition] = set()
        self.letters = OpenLetters(group=group, alias=store.alias())
        self.touched = TouchedKeys(group=group, alias=store.alias())

    @property
    def alias(self) -> str:
        """Return the database alias that keeps the positions, and so the rows."""
        return self.store.alias()

    def read(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Position | None]:
        """Read the stored positions, as on an assignment."""
        found = self.store.read(self.group, partitions)
        self._committed.update(found)
        self._lost.difference_update(partitions)
        self._reads.update({partition: self.generation(partition) + 1 for partition in partitions})
        self.forget_written(partitions)
        if partitions:
            self.touched.look({partition: self.generation(partition) for partition in partitions})
        return found

    def known(self, partition: TopicPartition) -> Position | None:
        """Return the position last read or committed."""
        return self._committed.get(partition)

    def generation(self, partition: TopicPartition) -> int:
        """Return how often the position was read: what was known about the partition before it is out of date."""
        return self._reads.get(partition, 0)

    def holds(self, partition: TopicPartition) -> bool:
        """Tell whether the partition's position was read."""
        return partition in self._committed

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is known of partitions that another process may own by now; until read again they do not move."""
        for partition in partitions:
            self._lost.add(partition)
            self._committed.pop(partition, None)
            self._written.pop(partition, None)

    def forget_written(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what was written in a transaction that did not commit."""
        for partition in partitions:
            self._written.pop(partition, None)

    def advance(self, partition: TopicPartition, position: Position) -> None:
        """
        Move a position inside the transaction that is open.

        Raises:
            PositionConflict: Another consumer moved it, or was given the partition.
        """
        expected = self._expected(partition)
        self.store.advance(self.group, partition, expected=expected, position=position)
        self._written[partition] = position

    def confirm(self, partition: TopicPartition) -> None:
        """Take what was written as committed."""
        if partition in self._written:
            self._committed[partition] = self._written.pop(partition)

    def commit(self, partition: TopicPartition, position: Position) -> None:
        """
        Move a position in whatever transaction the caller has open, or in one of its own.

        A write whose transaction was rolled back since is found out by trying the committed position too.
        """
        with transaction.atomic(using=self.alias):
            try:
                self.advance(partition, position)
            except PositionConflict:
                if partition not in self._written:
                    raise
                del self._written[partition]
                self.advance(partition, position)
            transaction.on_commit(lambda: self.confirm(partition), using=self.alias, robust=True)

    def _expected(self, partition: TopicPartition) -> Position | None:
        if partition in self._written:
            return self._written[partition]
        if partition in self._lost:
            # Read now, the position would be that of the new owner, and this one's older batch would pass.
            raise PositionConflict(
                f"{partition.topic}/{partition.partition} was taken from this consumer of group {self.group!r}. "
                "Poll again: whoever has it now goes on at the stored position."
            )
        if partition not in self._committed:
            self.read([partition])
        return self._committed[partition]
