"""
Adopting django-logpipe's positions: a project that moves over goes on where it stood.

django-logpipe keeps the next offset to read of each Kafka partition, and the last sequence number read of each Kinesis
shard, both as positions are kept here; it has no groups. Its tables are read as they stand, whether or not the package
is still installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connections, transaction

from logpipe_signals.models import Offset

KAFKA_TABLE = "logpipe_kafkaoffset"
KINESIS_TABLE = "logpipe_kinesisoffset"


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """One position, and whether it was taken over (not where the group stands somewhere already)."""

    log: str
    topic: str
    partition: str
    position: str
    is_new: bool


def adopt_positions(group: str, *, source: str, target: str) -> list[Adopted]:
    """
    Copy django-logpipe's positions to a group. What the group has already stays as it is.

    Args:
        source: The alias that has django-logpipe's tables.
        target: The alias that keeps our positions.
    """
    with transaction.atomic(using=target):
        return [_adopt(group, target, *found) for found in _stored(source)]


def _adopt(group: str, target: str, log: str, topic: str, partition: str, position: str) -> Adopted:
    rows = Offset.objects.using(target)
    row, _ = rows.get_or_create(log=log, group=group, topic=topic, partition=partition)
    moved = rows.filter(pk=row.pk, position=None).update(position=position)
    return Adopted(log=log, topic=topic, partition=partition, position=position, is_new=bool(moved))


def _stored(source: str) -> Iterator[tuple[str, str, str, str]]:
    tables = connections[source].introspection.table_names()
    if KAFKA_TABLE in tables:
        for topic, partition, offset in _rows(source, KAFKA_TABLE, ("topic", "partition", "offset")):
            yield "kafka", str(topic), str(partition), str(offset)
    if KINESIS_TABLE in tables:
        names = ("region", "stream", "shard", "sequence_number")
        for region, stream, shard, number in _rows(source, KINESIS_TABLE, names):
            yield f"kinesis:{region}", str(stream), str(shard), str(number)


def _rows(source: str, table: str, names: Iterable[str]) -> list[tuple[object, ...]]:
    quote = connections[source].ops.quote_name
    columns = ", ".join(quote(name) for name in names)
    with connections[source].cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {quote(table)} ORDER BY 1, 2")  # noqa: S608  (names of our own)
        return cursor.fetchall()
