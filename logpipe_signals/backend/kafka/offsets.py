"""Where Kafka's readers stand: in the project's database, or in Kafka's own consumer groups."""

from __future__ import annotations

from collections.abc import Sequence

from logpipe_signals.backend import base, offsets
from logpipe_signals.backend.base import Position, Record, TopicPartition
from logpipe_signals.backend.kafka.consumer import Consumer, open_consumers
from logpipe_signals.exceptions import BackendUnavailable, PositionConflict


class ModelOffsetStore(offsets.ModelOffsetStore):
    """Positions in the project's database; `backend.confluent` shares them, so a project can change its client."""

    log = "kafka"


class KafkaOffsetStore(base.OffsetStore):
    """
    Positions in Kafka's own consumer group.

    They cannot move in the transaction of the rows, so a crash between the two applies a record twice. What keeps a
    late consumer from moving them is Kafka's group itself: it refuses a member that was replaced. Needs a group.
    """

    supports_transactions = False

    def read(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        return {partition: _consumer_of(group, partition).committed(partition) for partition in partitions}

    def advance(self, group: str, partition: TopicPartition, *, expected: Position | None, position: Position) -> None:
        try:
            _consumer_of(group, partition).commit_to_log({partition: position})
        except BackendUnavailable as error:
            if "Commit" in type(error.__cause__).__name__ or "Generation" in type(error.__cause__).__name__:
                raise PositionConflict(
                    f"Kafka's group {group!r} has another owner for {partition.topic}/{partition.partition} now. "
                    "Poll again: this consumer is given partitions anew."
                ) from error
            raise

    def commit(self, consumer: base.Consumer, message: Record) -> None:
        """Store the position behind a record (django-logpipe's call)."""
        consumer.commit_to_log({message.topic_partition: consumer.position_after(message)})

    def seek(self, consumer: base.Consumer, topic: str, partition: str) -> None:
        """Kafka's client starts at its group's position by itself (django-logpipe's call)."""


def _consumer_of(group: str, partition: TopicPartition) -> Consumer:
    for consumer in list(open_consumers):
        if consumer.group_id == group and consumer.owns(partition):
            return consumer
    raise BackendUnavailable(
        f"No consumer of group {group!r} in this process reads {partition.topic}/{partition.partition}, "
        "so Kafka would not take a position of it. Use ModelOffsetStore, or poll first."
    )
