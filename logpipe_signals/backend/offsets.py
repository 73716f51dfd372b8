"""The positions of consumer groups in the project's own database, so that they move in the transaction of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db import models, router
from django.utils import timezone

from logpipe_signals.backend.base import Consumer, OffsetStore, Position, Record, TopicPartition
from logpipe_signals.conf import consumer_group, settings
from logpipe_signals.exceptions import PositionConflict


class ModelOffsetStore(OffsetStore):
    """
    Positions as rows of `Offset`. Each log has a subclass that names it, so that their positions never mix.

    A row is made when a partition is first read from, which is when it is assigned; from then on it moves by
    compare-and-set only.
    """

    log: ClassVar[str]
    """The name under which this log's positions are kept."""

    def alias(self) -> str:
        from logpipe_signals.models import Offset

        return settings.CONSUMER_DATABASE or router.db_for_write(Offset)

    def position_from_text(self, text: str) -> Position:
        """Return a position as this log's consumers take it. Logs that do not count override this."""
        return int(text)

    def read(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        stored = self._stored(group, partitions)
        self._ensure(group, [partition for partition in partitions if partition not in stored])
        return {partition: self._position(stored.get(partition)) for partition in partitions}

    def advance(self, group: str, partition: TopicPartition, *, expected: Position | None, position: Position) -> None:
        here = models.Q(position=None) if expected is None else models.Q(position=str(expected))
        if not self._rows(group, [partition]).filter(here).update(position=str(position), updated_at=timezone.now()):
            raise PositionConflict(
                f"Group {group!r} is not at position {expected!r} of {partition.topic}/{partition.partition} any more: "
                "another consumer moved it. Read the position again and go on there."
            )

    def commit(self, consumer: Consumer, message: Record) -> None:
        """Store the position behind a record, whatever was stored before (django-logpipe's call)."""
        from logpipe_signals.models import Offset

        Offset.objects.using(self.alias()).update_or_create(
            log=self.log,
            group=_group_of(consumer),
            topic=message.topic,
            partition=str(message.partition),
            defaults={"position": str(consumer.position_after(message))},
        )

    def seek(self, consumer: Consumer, topic: str, partition: str) -> None:
        """Make a consumer go on at the stored position (django-logpipe's call)."""
        topic_partition = TopicPartition(topic, str(partition))
        consumer.seek(topic_partition, self.read(_group_of(consumer), [topic_partition])[topic_partition])

    def _rows(self, group: str, partitions: Sequence[TopicPartition]) -> models.QuerySet:
        from logpipe_signals.models import Offset

        return Offset.objects.using(self.alias()).filter(
            log=self.log,
            group=group,
            topic__in={partition.topic for partition in partitions},
            partition__in={partition.partition for partition in partitions},
        )

    def _stored(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, str | None]:
        rows = self._rows(group, partitions).values_list("topic", "partition", "position")
        return {TopicPartition(topic, partition): position for topic, partition, position in rows}

    def _ensure(self, group: str, partitions: Sequence[TopicPartition]) -> None:
        # Without a row there would be nothing for the first compare-and-set to find.
        from logpipe_signals.models import Offset

        if partitions:
            rows = [Offset(log=self.log, group=group, topic=topic, partition=name) for topic, name in partitions]
            Offset.objects.using(self.alias()).bulk_create(rows, ignore_conflicts=True)

    def _position(self, text: str | None) -> Position | None:
        return None if text is None else self.position_from_text(text)


def _group_of(consumer: Consumer) -> str:
    return consumer.subscription.group or consumer_group()
