"""How far consumer groups are behind: the log's end less the stored position, as the backend tells it."""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from logpipe_signals.backend import consumer_class, get_offset_backend
from logpipe_signals.backend.base import Lag, Position, TopicPartition
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.models import Offset
from logpipe_signals.monitoring.places import consuming_database, now_of

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class PartitionLag:
    """
    How far a group is behind in a partition.

    position:          Where it stands; None: it was given the partition and read nothing yet.
    records:           How many records it has not applied; None where the log cannot tell (Kinesis), or did not.
    behind_seconds:    How old the next record is (Kinesis); None where the log cannot tell, or did not.
    moved_seconds_ago: Since the position moved, by the database's clock.
    """

    group: str
    topic: str
    partition: str
    position: str | None
    records: int | None
    behind_seconds: float | None
    moved_seconds_ago: float


@dataclass(frozen=True, kw_only=True)
class LagReport:
    """The lag of all groups; `problem` says why numbers are missing, "" when none is."""

    partitions: tuple[PartitionLag, ...] = ()
    problem: str = ""

    @property
    def records(self) -> int | None:
        """Return the records of all partitions together; None where no partition's number is known."""
        known = [each.records for each in self.partitions if each.records is not None]
        return sum(known) if known or not self.partitions else None


def lag(using: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> LagReport:
    """
    Return how far every group with positions on an alias is behind.

    Args:
        timeout_seconds: How long the log is waited for; then the positions come back without numbers, and the reason.
    """
    store = get_offset_backend()
    log = getattr(store, "log", None)
    using = using or consuming_database()
    if log is None:
        return LagReport(problem=f"{type(store).__name__} keeps its positions outside of the database.")
    rows = list(Offset.objects.using(using).filter(log=log).order_by("group", "topic", "partition"))
    found, problems = {}, []
    for group in sorted({row.group for row in rows}):
        positions = _positions([row for row in rows if row.group == group], store)
        try:
            answer = consumer_class().lag(positions, timeout_seconds=timeout_seconds)
            found.update({(group, *partition): each for partition, each in answer.items()})
        except LogPipeError as error:
            problems.append(str(error))
            break
    now = now_of(using)
    lags = tuple(_partition_lag(row, found.get((row.group, row.topic, row.partition), Lag()), now) for row in rows)
    return LagReport(partitions=lags, problem=problems[0] if problems else "")


def _positions(rows: list[Offset], store: Any) -> dict[TopicPartition, Position | None]:
    return {
        TopicPartition(row.topic, row.partition): None
        if row.position is None
        else store.position_from_text(row.position)
        for row in rows
    }


def _partition_lag(row: Offset, found: Lag, now: Any) -> PartitionLag:
    return PartitionLag(
        group=row.group,
        topic=row.topic,
        partition=row.partition,
        position=row.position,
        records=found.records,
        behind_seconds=found.seconds,
        moved_seconds_ago=max(0.0, (now - row.updated_at).total_seconds()),
    )


# --- for whoever asks often -------------------------------------------------------------------------------------------


class _Recent:
    """The last answer: however many ask, the log is asked by one of them and not more often than is useful."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answers: dict[str, tuple[float, LagReport]] = {}


_recent = _Recent()
os.register_at_fork(after_in_child=_recent.__init__)  # type: ignore[misc]  # another thread may have held the lock


def recent_lag(using: str | None = None, *, max_age_seconds: float = 10.0) -> LagReport:
    """Return what `lag` said within the last seconds; ask again if it is older."""
    using = using or consuming_database()
    with _recent.lock:
        asked_at, answer = _recent.answers.get(using, (-math.inf, LagReport()))
        if time.monotonic() - asked_at > max_age_seconds:
            answer = lag(using)
            _recent.answers[using] = (time.monotonic(), answer)
        return answer
