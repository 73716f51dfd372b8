"""How partition keys are spread over a stream's open shards: by the ranges of hashes that the service tells."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from logpipe_signals.backend.base import Layout
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.backend.kinesis.errors import SERVICE_ERRORS, code_of, outcome_of
from logpipe_signals.backend.kinesis.limits import partition_key_of


def layout_of(stream: str) -> Layout | None:
    """
    Return the layout of the shards that are written to now; None where this account may not list them.

    Raises:
        BackendUnavailable, MissingTopicError: Nobody knows now.
    """
    try:
        opened = sorted((int(shard["HashKeyRange"]["StartingHashKey"]), shard["ShardId"]) for shard in _open(stream))
    except SERVICE_ERRORS as error:
        if code_of(error).startswith("AccessDenied"):
            return None
        raise outcome_of(stream, error) from error
    starts = [start for start, _ in opened]
    names = tuple(name for _, name in opened)

    def partition_of(key: str) -> str:
        digest = hashlib.md5(partition_key_of(key).encode(), usedforsecurity=False).digest()
        return names[bisect_right(starts, int.from_bytes(digest, "big")) - 1]

    return Layout(partitions=names, partition_of=partition_of)


def _open(stream: str) -> Sequence[Any]:
    client, found = shared_client(), []
    page: dict[str, Any] = {"StreamName": stream}
    while page:
        answer = client.list_shards(**page)
        found += [shard for shard in answer["Shards"] if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        page = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
    return found
