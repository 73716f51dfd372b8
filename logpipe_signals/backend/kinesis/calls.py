"""One call of the service that puts records."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.client import gate
from logpipe_signals.backend.kinesis.delivery import Entry
from logpipe_signals.conf import settings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

Place = tuple[str, str]
"""A shard and a sequence number."""


class LastSequenceNumbers:
    """The last sequence number of each stream and key: the newest `KINESIS_SEQ_NUM_CACHE_SIZE` of them."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, queue: tuple[str, str]) -> str | None:
        """Return the last one of a stream and key, if it is still known."""
        with self._lock:
            return self._numbers.get(queue)

    def note(self, queue: tuple[str, str], sequence_number: str) -> None:
        """Remember one, and forget the oldest beyond the bound."""
        with self._lock:
            self._numbers[queue] = sequence_number
            self._numbers.move_to_end(queue)
            while len(self._numbers) > max(0, settings.KINESIS_SEQ_NUM_CACHE_SIZE):
                self._numbers.popitem(last=False)

    def forget(self, queue: tuple[str, str]) -> bool:
        """Forget one, and tell whether it was known."""
        with self._lock:
            return self._numbers.pop(queue, None) is not None


class Put:
    """
    Puts records of one stream, each of another key.

    One record alone goes by `PutRecord`, which can be told behind which sequence number it has to come.
    """

    def __init__(self, client: KinesisClient, entries: Sequence[Entry], numbers: LastSequenceNumbers) -> None:
        self.entries = entries
        self._client = client
        self._numbers = numbers
        self._answers: Sequence[Mapping[str, Any]] = ()

    def call(self, deadline: Deadline, *, spare_seconds: float) -> None:
        """Make the call, unless it is later than so many seconds before the deadline."""
        with gate.until(deadline, spare_seconds=spare_seconds):
            self._answers = [self._put_one()] if len(self.entries) == 1 else self._put_many()

    def results(self) -> Iterator[tuple[Entry, Place | None, str]]:
        """Return each entry with its place, or with the service's error."""
        for entry, answer in zip(self.entries, self._answers, strict=True):
            if number := answer.get("SequenceNumber"):
                self._numbers.note(entry.queue, number)
                yield entry, (answer["ShardId"], number), ""
            else:
                yield entry, None, f"{answer.get('ErrorCode')}: {answer.get('ErrorMessage')}"

    def _put_one(self) -> Mapping[str, Any]:
        (entry,) = self.entries
        ordering = self._numbers.get(entry.queue)
        after: dict[str, Any] = {"SequenceNumberForOrdering": ordering} if ordering else {}
        return self._client.put_record(
            StreamName=entry.message.topic,
            Data=entry.message.value or b"",
            PartitionKey=entry.partition_key,
            **after,
        )

    def _put_many(self) -> Sequence[Mapping[str, Any]]:
        records: list[Any] = [
            {"Data": entry.message.value or b"", "PartitionKey": entry.partition_key} for entry in self.entries
        ]
        return self._client.put_records(StreamName=self.entries[0].message.topic, Records=records)["Records"]
