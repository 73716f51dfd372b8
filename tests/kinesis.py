"""What tests do to Kinesis behind the package's back: make streams, split and merge shards."""

from __future__ import annotations

from typing import Any

from logpipe_signals.backend import kinesis
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.testing.services.ports import wait_until

PATIENCE_SECONDS = 60.0


def make_shards(stream: str, shards: int) -> None:
    """Make a stream of so many shards, or split those of one until there are so many."""
    if not is_there(stream):
        kinesis.create_stream(stream, shards)
    while len(found := open_shards(stream)) < shards:
        split(stream, found[0]["ShardId"])


def is_there(stream: str) -> bool:
    """Tell whether a stream exists."""
    client = shared_client()
    try:
        client.describe_stream_summary(StreamName=stream)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def open_shards(stream: str) -> list[dict[str, Any]]:
    """Return the shards that take records, by where their keys begin."""
    shards: list[Any] = shared_client().list_shards(StreamName=stream)["Shards"]
    taking = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    return sorted(taking, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def split(stream: str, shard: str) -> None:
    """Split a shard in the middle, and wait until its children take records."""
    (keys,) = [each["HashKeyRange"] for each in open_shards(stream) if each["ShardId"] == shard]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    shared_client().split_shard(StreamName=stream, ShardToSplit=shard, NewStartingHashKey=str(middle))
    _wait_until_active(stream)


def merge(stream: str, shard: str, neighbour: str) -> None:
    """Merge two neighbours, and wait until their child takes records."""
    shared_client().merge_shards(StreamName=stream, ShardToMerge=shard, AdjacentShardToMerge=neighbour)
    _wait_until_active(stream)


def _wait_until_active(stream: str) -> None:
    client, deadline = shared_client(), Deadline(PATIENCE_SECONDS)

    def is_active() -> bool:
        return client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"

    assert wait_until(is_active, timeout_seconds=deadline.remaining_seconds), f"{stream} did not become active"
