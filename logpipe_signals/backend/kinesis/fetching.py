"""One read of a shard: `GetShardIterator` where there is no iterator, and `GetRecords`. Runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.backend.kinesis import errors
from logpipe_signals.backend.kinesis.aggregation import parts_of
from logpipe_signals.backend.kinesis.limits import key_of
from logpipe_signals.backend.kinesis.positions import SHARD_END, iterator_arguments, part_of, sequence_number_of

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    What to read.

    iterator:       Where; None: at the position.
    position:       What was read last. An iterator made at it begins with that very record, if the stream has it.
    is_checked:     Whether it is known that nothing is missing behind the position.
    position_lost:  The stream does not know the position; reading begins at its oldest record.
    """

    partition: TopicPartition
    position: str
    iterator: str | None
    is_checked: bool
    position_lost: bool
    limit: int


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a read brought. `next_iterator` None: the shard has ended."""

    records: Sequence[Record]
    next_iterator: str | None
    behind_milliseconds: int
    is_checked: bool
    position_lost: bool
    gap_up_to: str | None = None
    """The first record there is, where the one at the position is there no more."""
    size: int = 0


def fetch(client: KinesisClient, request: Request) -> Fetched:
    """
    Read once. An iterator that expired is renewed from the position.

    Raises:
        ClientError, BotoCoreError: The service refused or did not answer; the shard stays as it was.
    """
    iterator, lost, is_checked = request.iterator, request.position_lost, request.is_checked
    if iterator is None:
        iterator, lost, is_checked = _new_iterator(client, request)
    try:
        answer = client.get_records(ShardIterator=iterator, Limit=request.limit)
    except errors.SERVICE_ERRORS as error:
        if errors.code_of(error) != "ExpiredIteratorException" or request.iterator is None:
            raise
        iterator, lost, is_checked = _new_iterator(client, request)
        answer = client.get_records(ShardIterator=iterator, Limit=request.limit)
    return _fetched(request, answer, lost=lost, is_checked=is_checked)


def latest_iterator(client: KinesisClient, partition: TopicPartition) -> str:
    """Return where a shard ends now."""
    return client.get_shard_iterator(
        StreamName=partition.topic, ShardId=partition.partition, ShardIteratorType="LATEST"
    )["ShardIterator"]


def _new_iterator(client: KinesisClient, request: Request) -> tuple[str, bool, bool]:
    stream, shard = request.partition
    has_number = sequence_number_of(request.position) is not None
    try:
        arguments = iterator_arguments(request.position)
        answer = client.get_shard_iterator(StreamName=stream, ShardId=shard, **arguments)
    except errors.SERVICE_ERRORS as error:
        if not has_number or not (errors.is_permanent(error) or errors.is_missing(error)):
            raise
        # It came from another stream, or the service no longer knows it.
        answer = client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return answer["ShardIterator"], True, False
    return answer["ShardIterator"], False, not has_number


def _fetched(request: Request, answer: Mapping[str, Any], *, lost: bool, is_checked: bool) -> Fetched:
    raw, behind = answer["Records"], int(answer.get("MillisBehindLatest") or 0)
    next_iterator = answer.get("NextShardIterator")
    gap_up_to = None
    if not is_checked and raw:
        first = raw[0]["SequenceNumber"]
        known = not lost and first == sequence_number_of(request.position)
        gap_up_to = None if known else first
    if not is_checked and not raw and next_iterator is None:
        gap_up_to = SHARD_END
    records = [record for each in raw for record in _records(request, each)]
    return Fetched(
        records=records,
        next_iterator=next_iterator,
        behind_milliseconds=behind,
        # At the end of what there is, and without a record that would show a gap, there is none to be shown.
        is_checked=is_checked or bool(raw) or (not behind and not lost),
        position_lost=lost and not raw,
        gap_up_to=gap_up_to,
        size=sum(len(record.value or b"") for record in records),
    )


def _records(request: Request, raw: Mapping[str, Any]) -> Iterator[Record]:
    number, arrived_at = raw["SequenceNumber"], raw.get("ApproximateArrivalTimestamp")
    timestamp = arrived_at.timestamp() * 1000 if arrived_at is not None else 0.0
    parts = parts_of(raw["Data"]) or [(raw["PartitionKey"], raw["Data"])]
    read = _parts_read(request.position, number, len(parts))
    for index, (key, value) in enumerate(parts[read:], start=read):
        offset = number if index == len(parts) - 1 else f"{number}.{index}"
        yield Record(*request.partition, offset, timestamp, key_of(key), value)


def _parts_read(position: str, number: str, parts: int) -> int:
    """Return how many parts of a record are done with: those of the record that the position is at."""
    if sequence_number_of(position) != number:
        return 0
    part = part_of(position)
    return parts if part is None else part + 1
