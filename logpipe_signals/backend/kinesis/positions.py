"""
Where a group stands in a shard.

    "4968...554"            the last sequence number read; compared as numbers
    "4968...554.2"          within an aggregated record of the KPL: the place of the last one read in it
    "AT_TIMESTAMP:1790...0" nothing read yet; begins at this time, in milliseconds since 1970
    "SHARD_END"             the shard was closed and everything in it is done with
    ""                      nothing read yet; begins at the oldest record
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from logpipe_signals.backend import offsets
from logpipe_signals.backend.base import Position
from logpipe_signals.backend.kinesis.client import region

SHARD_END = "SHARD_END"
BEGINNING = ""
_AT_TIMESTAMP = "AT_TIMESTAMP:"


class ModelOffsetStore(offsets.ModelOffsetStore):
    """Positions in the project's database, for each region its own."""

    @property
    def log(self) -> str:  # type: ignore[override]  # which region is known when settings are
        return f"kinesis:{region()}"

    def position_from_text(self, text: str) -> Position:
        return text


def at_time(milliseconds: int) -> str:
    """Return the position that begins at a time."""
    return f"{_AT_TIMESTAMP}{milliseconds}"


def time_of(position: str) -> int | None:
    """Return the time a position begins at, in milliseconds since 1970; None where it is none of those."""
    return int(position.removeprefix(_AT_TIMESTAMP)) if position.startswith(_AT_TIMESTAMP) else None


def sequence_number_of(position: str) -> str | None:
    """Return the sequence number of the record that a position is at; None where it is at none."""
    if position in (BEGINNING, SHARD_END) or time_of(position) is not None:
        return None
    return position.partition(".")[0]


def part_of(position: str) -> int | None:
    """Return which part of an aggregated record was read last; None: the whole record was."""
    part = position.partition(".")[2]
    return int(part) if part and sequence_number_of(position) else None


def has_passed(position: str, other: str) -> bool:
    """Tell whether a position at a record is further on in its shard than another one, or the same."""
    return _order(position) >= _order(other)


def _order(position: str) -> tuple[float, float]:
    if position == SHARD_END:
        return (float("inf"), 0)
    number, part = sequence_number_of(position), part_of(position)
    return (int(number) if number else -1, float("inf") if part is None else part)


def iterator_arguments(position: str) -> dict[str, Any]:
    """
    Return what `GetShardIterator` is asked for.

    At a sequence number, not after it: whether that record still comes first tells whether the stream still has it.
    """
    if (number := sequence_number_of(position)) is not None:
        return {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    if (milliseconds := time_of(position)) is not None:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
        return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
    return {"ShardIteratorType": "TRIM_HORIZON"}
