"""Shards: which there are, which came of which, and which of them may be read now."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.kinesis.errors import SERVICE_ERRORS, is_missing, unavailable

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard. One that was split or merged is closed: it gets no further records, and ends."""

    partition: TopicPartition
    parents: frozenset[TopicPartition] = frozenset()
    is_closed: bool = False


Shards = Mapping[TopicPartition, Shard]


def list_shards(client: KinesisClient, stream: str) -> dict[TopicPartition, Shard] | None:
    """
    Return all shards of a stream, closed ones too as long as they have records; None where there is no such stream.

    Raises:
        BackendUnavailable: The service does not say.
    """
    shards: dict[TopicPartition, Shard] = {}
    page: dict[str, Any] = {"StreamName": stream}
    try:
        while page:
            answer = client.list_shards(**page)
            for description in answer["Shards"]:
                shard = _shard(stream, description)
                shards[shard.partition] = shard
            page = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
    except SERVICE_ERRORS as error:
        if is_missing(error):
            return None
        raise unavailable(f"the shards of stream {stream!r}", error) from error
    return shards


def _shard(stream: str, description: Mapping[str, Any]) -> Shard:
    parents = (description.get("ParentShardId"), description.get("AdjacentParentShardId"))
    return Shard(
        partition=TopicPartition(stream, description["ShardId"]),
        parents=frozenset(TopicPartition(stream, parent) for parent in parents if parent),
        is_closed="EndingSequenceNumber" in description["SequenceNumberRange"],
    )


def parents_of(shards: Shards) -> set[TopicPartition]:
    """Return every shard that one of these came of, those that the stream no longer has included."""
    return {parent for shard in shards.values() for parent in shard.parents}


def readable(shards: Shards, finished: Container[TopicPartition]) -> set[TopicPartition]:
    """Return the shards that are not finished and whose parents, as far as they are still there, all are."""
    return {
        partition
        for partition, shard in shards.items()
        if partition not in finished and all(parent in finished for parent in shard.parents & shards.keys())
    }


def passed_over(shards: Shards, begun: Collection[TopicPartition]) -> set[TopicPartition]:
    """Return the closed shards that a group which starts at the end has no business with: it began none before them."""
    descended = set(begun)
    grew = True
    while grew:
        more = {p for p, shard in shards.items() if p not in descended and shard.parents & descended}
        descended |= more
        grew = bool(more)
    return {partition for partition, shard in shards.items() if shard.is_closed and partition not in descended}
