"""A Kinesis in memory that does as the service does, and that a test may hurt, trim and reshard."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

HASHES = 2**128


def client_error(code: str, operation: str = "Any") -> ClientError:
    """Return what boto3 raises when the service says this."""
    return ClientError({"Error": {"Code": code, "Message": "by the test"}}, operation)


@dataclass
class FakeShard:
    """A shard: its records, and whom it came of."""

    name: str
    begin: int
    end: int
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)


class FakeKinesis:
    """What the package calls of boto3's client, over one stream."""

    def __init__(self, stream: str = "people", shards: int = 1) -> None:
        self.stream = stream
        self.page_size = 100
        self.calls: list[tuple[str, dict[str, Any], float]] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda operation, request: None
        """Called first in each call: may raise, or wait."""
        self.refuse: Callable[[dict[str, Any]], str] = lambda record: ""
        """Returns the error of one record of a put, or nothing."""
        self._numbers = itertools.count(10**20)
        self._lock = threading.RLock()
        width = HASHES // shards
        self.shards = {
            name: FakeShard(name, number * width, (number + 1) * width - 1)
            for number in range(shards)
            for name in [f"shardId-{number:012}"]
        }

    # --- what tests do ----------------------------------------------------------------------------------------------

    def count(self, operation: str) -> int:
        """Return how often something was called."""
        return sum(name == operation for name, _, _ in self.calls)

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """Return what something was called with."""
        return [request for name, request, _ in self.calls if name == operation]

    def put(self, value: bytes, key: str = "joe") -> str:
        """Put a record and return its sequence number."""
        return self._append(key, value)["SequenceNumber"]

    def split(self, name: str) -> list[str]:
        """Close a shard, and return its two children."""
        with self._lock:
            old = self.shards[name]
            middle = (old.begin + old.end) // 2
            return [self._child(old.begin, middle, [old]), self._child(middle + 1, old.end, [old])]

    def merge(self, name: str, neighbour: str) -> str:
        """Close two shards, and return their child."""
        with self._lock:
            first, second = self.shards[name], self.shards[neighbour]
            return self._child(first.begin, second.end, [first, second])

    def trim(self, name: str, count: int) -> None:
        """Drop a shard's oldest records, as retention does."""
        del self.shards[name].records[:count]

    def values(self) -> list[bytes]:
        """Return everything there is, shard by shard."""
        return [record["Data"] for shard in self.shards.values() for record in shard.records]

    def _child(self, begin: int, end: int, parents: list[FakeShard]) -> str:
        child = FakeShard(f"shardId-{len(self.shards):012}", begin, end, parents=[each.name for each in parents])
        self.shards[child.name] = child
        for parent in parents:
            parent.children.append(child.name)
        return child.name

    # --- what the package calls -------------------------------------------------------------------------------------

    def put_record(self, **request: Any) -> dict[str, Any]:
        self._called("put_record", request)
        if error := self.refuse(request):
            raise client_error(error)
        return self._append(request["PartitionKey"], request["Data"])

    def put_records(self, **request: Any) -> dict[str, Any]:
        self._called("put_records", request)
        answers = []
        for record in request["Records"]:
            error = self.refuse(record)
            refused = {"ErrorCode": error, "ErrorMessage": "by the test"}
            answers.append(refused if error else self._append(record["PartitionKey"], record["Data"]))
        return {"Records": answers}

    def list_shards(self, **request: Any) -> dict[str, Any]:
        self._called("list_shards", request)
        start = int(request.get("NextToken") or 0)
        found = [self._described(shard) for shard in self.shards.values()]
        page = {"Shards": found[start : start + self.page_size]}
        more = start + self.page_size < len(found)
        return page | {"NextToken": str(start + self.page_size)} if more else page

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        self._called("get_shard_iterator", request)
        records = self.shards[request["ShardId"]].records
        match request["ShardIteratorType"]:
            case "LATEST":
                number = int(records[-1]["SequenceNumber"]) + 1 if records else 0
            case "AT_SEQUENCE_NUMBER":
                number = int(request["StartingSequenceNumber"])
                if number < 10**20:
                    raise client_error("InvalidArgumentException")
            case _:
                number = 0
        return {"ShardIterator": f"{request['ShardId']} {number}"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        self._called("get_records", request)
        name, _, number = request["ShardIterator"].partition(" ")
        shard = self.shards[name]
        there = [record for record in shard.records if int(record["SequenceNumber"]) >= int(number)]
        found = there[: request["Limit"]]
        after = int(found[-1]["SequenceNumber"]) + 1 if found else number
        answer = {"Records": found, "MillisBehindLatest": 1000 if len(there) > len(found) else 0}
        ended = shard.children and len(there) == len(found)
        return answer if ended else answer | {"NextShardIterator": f"{name} {after}"}

    def describe_stream_summary(self, **request: Any) -> dict[str, Any]:
        self._called("describe_stream_summary", request)
        return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "MaxRecordSizeInKiB": 1024}}

    def close(self) -> None:
        """Nothing is open."""

    def _called(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((operation, request, time.monotonic()))
        if request.get("StreamName", self.stream) != self.stream:
            raise client_error("ResourceNotFoundException")
        self.before(operation, request)

    def _append(self, key: str, value: bytes) -> dict[str, Any]:
        hashed = int(hashlib.md5(key.encode()).hexdigest(), 16)
        with self._lock:
            (shard,) = [each for each in self.shards.values() if not each.children and each.begin <= hashed <= each.end]
            number = str(next(self._numbers))
            shard.records.append(
                {
                    "SequenceNumber": number,
                    "PartitionKey": key,
                    "Data": value,
                    "ApproximateArrivalTimestamp": datetime.now(UTC),
                }
            )
            return {"ShardId": shard.name, "SequenceNumber": number}

    def _described(self, shard: FakeShard) -> dict[str, Any]:
        parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
        numbers = {"StartingSequenceNumber": "1"} | ({"EndingSequenceNumber": "9"} if shard.children else {})
        return {"ShardId": shard.name, "SequenceNumberRange": numbers, **parents}
