"""
Adopting django-logpipe's positions: a project that moves over goes on where it stood. And giving them back.

django-logpipe keeps the next offset to read of each Kafka partition, and the last sequence number read of each Kinesis
shard, both as positions are kept here; it has no groups. Its tables are read and written as they stand, whether or not
the package is still installed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.db import connections, transaction

from logpipe_signals.models import Offset

KAFKA_TABLE = "logpipe_kafkaoffset"
KINESIS_TABLE = "logpipe_kinesisoffset"
STANDS = "the group stands somewhere already"
MOST_OFFSET = 2**31
NO_PLACE = "django-logpipe has no place for it"


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """One position, whether it was taken over, and if not, why."""

    log: str
    topic: str
    partition: str
    position: str
    is_new: bool
    why: str = ""


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
    return Adopted(log=log, topic=topic, partition=partition, position=position, is_new=bool(moved), why=STANDS)


def give_back_positions(group: str, *, source: str, target: str) -> list[Adopted]:
    """
    Copy a group's positions to django-logpipe's tables, over what they hold: its consumers go on where ours stopped.

    A position that django-logpipe could not have written stays behind: of another log, before the first record, or past
    the 2^31 at which its column ends.

    Args:
        source: The alias that keeps our positions.
        target: The alias that has django-logpipe's tables.
    """
    rows = Offset.objects.using(source).filter(group=group).exclude(position=None).order_by("log", "topic", "partition")
    tables = set(connections[target].introspection.table_names())
    with transaction.atomic(using=target):
        return [_given_back(row, target, tables) for row in rows]


def _given_back(row: Offset, target: str, tables: Collection[str]) -> Adopted:
    place = _place(row)
    fits = place is not None and place[0] in tables
    if place is not None and fits:
        _put(target, *place)
    told = {"log": row.log, "topic": row.topic, "partition": row.partition, "position": str(row.position)}
    return Adopted(**told, is_new=fits, why="" if fits else NO_PLACE)


def _place(row: Offset) -> tuple[str, dict[str, str | int], dict[str, str | int]] | None:
    """Return the table, the columns that name the partition, and the one that holds the position."""
    position = str(row.position)
    if not position.isdecimal():
        return None
    if row.log == "kafka" and int(position) < MOST_OFFSET:
        return KAFKA_TABLE, {"topic": row.topic, "partition": int(row.partition)}, {"offset": int(position)}
    if row.log.startswith("kinesis:"):
        where: dict[str, str | int] = {
            "region": row.log.removeprefix("kinesis:"),
            "stream": row.topic,
            "shard": row.partition,
        }
        return KINESIS_TABLE, where, {"sequence_number": position}
    return None


def _put(target: str, table: str, where: Mapping[str, str | int], what: Mapping[str, str | int]) -> None:
    quote = connections[target].ops.quote_name
    named = " AND ".join(f"{quote(name)} = %s" for name in where)
    ((column, value),) = what.items()
    with connections[target].cursor() as cursor:
        sql = f"UPDATE {quote(table)} SET {quote(column)} = %s WHERE {named}"  # noqa: S608  (names of our own)
        cursor.execute(sql, [value, *where.values()])
        if cursor.rowcount == 0:
            columns = ", ".join(quote(name) for name in (*where, column))
            places = ", ".join(["%s"] * (len(where) + 1))
            sql = f"INSERT INTO {quote(table)} ({columns}) VALUES ({places})"  # noqa: S608  (names of our own)
            cursor.execute(sql, [*where.values(), value])


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
