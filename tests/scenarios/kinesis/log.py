"""The whole stream of people, read afterwards and by other means than the package's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3

from logpipe_signals.envelope import IDENTITY_HEADER, OPERATION_HEADER, SEQUENCE_HEADER
from tests.scenarios.checker import Entry
from tests.scenarios.publishing.logs import TOPIC, entry

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


class KinesisLog:
    """
    A stream of a stand-in that belongs to one scenario.

    Args:
        endpoint_url: For us, straight.
        through: For the processes, perhaps through something that hurts their calls.
    """

    name = "kinesis"

    def __init__(self, endpoint_url: str, *, through: str | None = None) -> None:
        self._client = boto3.session.Session().client(
            "kinesis",
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        self.environment: Mapping[str, str] = {
            "LOGPIPE_BACKEND": "kinesis",
            "KINESIS_ENDPOINT_URL": through or endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            **CREDENTIALS,
        }

    def begin(self) -> None:
        """Each scenario has a stand-in of its own."""

    def read(self) -> list[Entry]:
        """Return every message: each shard's in order, and a shard's behind those of its parents."""
        return [found for shard in self.shards() for found in self._read_shard(shard)]

    def shards(self) -> list[str]:
        """Return the shards, each behind its parents: later ones have higher numbers."""
        return sorted(shard["ShardId"] for shard in self._client.list_shards(StreamName=TOPIC)["Shards"])

    def _read_shard(self, shard: str) -> Iterator[Entry]:
        start = {"StreamName": TOPIC, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator: str | None = self._client.get_shard_iterator(**start)["ShardIterator"]
        while iterator:
            answer = self._client.get_records(ShardIterator=iterator, Limit=10_000)
            for record in answer["Records"]:
                yield entry_of(shard, record["SequenceNumber"], record["PartitionKey"], record["Data"])
            behind = answer["Records"] or answer["MillisBehindLatest"]
            iterator = answer.get("NextShardIterator") if behind else None


def entry_of(shard: str, number: str, key: str, value: bytes) -> Entry:
    """Return a message as the checker takes it. What headers are elsewhere stands in the body here."""
    meta: dict[str, Any] = json.loads(value.partition(b":")[2])["meta"]
    headers = {
        IDENTITY_HEADER: meta["identity"],
        SEQUENCE_HEADER: str(meta["sequence"]),
        OPERATION_HEADER: meta["operation"],
    }
    return entry(shard, int(number), key.encode(), value, headers)
