"""The embedded log's records: gone by age, and not before every group has read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Min

from logpipe_signals.backend import database_log
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.housekeeping.batches import BATCH_ROWS
from logpipe_signals.models import LogPartition, LogRecord, Offset

LOG = "database"
"""The name under which positions on the embedded log are kept."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Records that are old enough, and that a group did not read yet: its name, and where it stands."""

    topic: str
    partition: str
    group: str
    position: int
    records: int


def removable(before: datetime, *, using: str, positions: str, force: bool) -> tuple[dict[int, int], list[Held]]:
    """
    Return up to which offset each partition may lose its records, and what keeps more from going.

    Args:
        using:     Holds the log.
        positions: Holds the groups' positions.
        force:     Go past groups that did not read; they are told of the gap.
    """
    partitions = list(LogPartition.objects.using(using).order_by("topic", "number"))
    names = {each.pk: TopicPartition(each.topic, str(each.number)) for each in partitions}
    bounds = database_log.first_offsets(using, {name: pk for pk, name in names.items()}, since=before)
    found, held = {}, []
    for pk, name in names.items():
        bound = bounds[name]
        slowest = None if force else _slowest(name, positions)
        if slowest is not None and slowest[1] < bound:
            if records := _records(pk, using, bound, since=slowest[1]):
                held.append(
                    Held(
                        topic=name.topic,
                        partition=name.partition,
                        group=slowest[0],
                        position=slowest[1],
                        records=records,
                    )
                )
            bound = slowest[1]
        found[pk] = bound
    return found, held


def _slowest(name: TopicPartition, positions: str) -> tuple[str, int] | None:
    rows = Offset.objects.using(positions).filter(log=LOG, topic=name.topic, partition=name.partition)
    standing = [(group, int(position or 0)) for group, position in rows.values_list("group", "position")]
    return min(standing, key=lambda each: each[1], default=None)


def _records(pk: int, using: str, before: int, *, since: int = 0) -> int:
    return LogRecord.objects.using(using).filter(partition=pk, offset__gte=since, offset__lt=before).count()


def count(bounds: dict[int, int], *, using: str) -> int:
    """Return how many records stand before these offsets."""
    return sum(_records(pk, using, bound) for pk, bound in bounds.items())


def delete(bounds: dict[int, int], *, using: str) -> int:
    """Delete the records before these offsets, oldest first, and return how many."""
    return sum(_delete_before(pk, bound, using) for pk, bound in bounds.items())


def _delete_before(pk: int, bound: int, using: str) -> int:
    removed = 0
    records = LogRecord.objects.using(using).filter(partition=pk, offset__lt=bound)
    while (first := records.aggregate(first=Min("offset"))["first"]) is not None:
        with transaction.atomic(using=using):
            removed += records.filter(offset__lt=first + BATCH_ROWS)._raw_delete(using) or 0
    return removed
