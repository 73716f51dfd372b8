"""How far a position is behind in its shard, by one read of one record, which counts for the shard's quota."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.base import Lag, Position, TopicPartition
from logpipe_signals.backend.kinesis import errors
from logpipe_signals.backend.kinesis.positions import BEGINNING, SHARD_END, iterator_arguments, sequence_number_of

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


def lag_at(client: KinesisClient, partition: TopicPartition, position: Position | None) -> Lag | None:
    """
    Return how old the next record is, or where none comes, what the service says (`MillisBehindLatest`).

    None: there is no such shard any more, or the service does not know the position.

    Raises:
        BackendUnavailable: The service does not say.
    """
    if position == SHARD_END:
        return Lag(seconds=0.0)
    try:
        iterator = client.get_shard_iterator(
            StreamName=partition.topic, ShardId=partition.partition, **_behind(str(position or BEGINNING))
        )["ShardIterator"]
        answer = client.get_records(ShardIterator=iterator, Limit=1)
    except errors.SERVICE_ERRORS as error:
        if errors.is_missing(error) or errors.is_permanent(error):
            return None
        raise errors.unavailable(f"the end of shard {partition.partition}", error) from error
    arrivals = [record.get("ApproximateArrivalTimestamp") for record in answer["Records"]]
    ages = [time.time() - arrived_at.timestamp() for arrived_at in arrivals if arrived_at is not None]
    return Lag(seconds=max(0.0, int(answer.get("MillisBehindLatest") or 0) / 1000, *ages))


def _behind(position: str) -> dict[str, Any]:
    arguments = iterator_arguments(position)
    if sequence_number_of(position) is not None:
        arguments["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
    return arguments
