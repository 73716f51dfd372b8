"""The embedded log's tables as a log: append, read, measure, prune. `backend.database` is the backend made of it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Case, F, Model, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Length
from django.utils import timezone

from logpipe_signals.backend.base import Headers, Message, Record, RecordMetadata, TopicPartition
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.partitioning import Partitioner
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable

BYTES_A_STATEMENT = 4 * 1024 * 1024
"""Bound on one INSERT: MariaDB refuses statements beyond `max_allowed_packet`, 16 MB by default."""
LARGEST_VALUE_BYTES = 8 * 1024 * 1024
BYTES_A_FETCH = 32 * 1024 * 1024
"""What a reader takes at once, shared by its partitions; each gives one record at least, however large that is."""
MYSQL_PACKET_TOO_LARGE = 1153

Answer = TypeVar("Answer")


# --- connections ------------------------------------------------------------------------------------------------------


@contextmanager
def reachable(using: str) -> Iterator[None]:
    """Reconnect where a connection went stale, and say `BackendUnavailable` where the database does not answer."""
    connection = connections[using]
    # With CONN_MAX_AGE=0, Django's default for requests, every look of a reader would be a connection of its own.
    if connection.settings_dict["CONN_MAX_AGE"] and not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if not connection.in_atomic_block:
            connection.close()
        if error.args[:1] == (MYSQL_PACKET_TOO_LARGE,):
            raise  # It does answer, and will never take this statement.
        raise BackendUnavailable(
            f"The embedded log on database {using!r} does not answer: {error}. "
            "It is tried again; see that the database runs and is migrated."
        ) from error


def asked(using: str, query: Callable[[], Answer]) -> Answer:
    """Return a read's answer, trying once more on a new connection: the old one may have been cut while it idled."""
    try:
        with reachable(using):
            return query()
    except BackendUnavailable:
        if connections[using].in_atomic_block:
            raise
        with reachable(using):
            return query()


# --- topics -----------------------------------------------------------------------------------------------------------


def partitions_of(using: str, topics: Collection[str]) -> list[Any]:
    """Return the partitions of these topics, by topic and number."""
    from logpipe_signals.models import LogPartition

    rows = LogPartition.objects.using(using).filter(topic__in=topics).order_by("topic", "number")
    return asked(using, lambda: list(rows))


def create_topics(using: str, topics: Collection[str], partitions: int) -> None:
    """Make topics, or the partitions that they still lack."""
    from logpipe_signals.models import LogPartition

    rows = [LogPartition(topic=topic, number=number) for topic in sorted(topics) for number in range(partitions)]
    with reachable(using):
        LogPartition.objects.using(using).bulk_create(rows, ignore_conflicts=True)


def partition_ids(using: str, topics: Collection[str]) -> dict[str, list[int]]:
    """Return the partition rows' ids by topic, making the topics that are not there."""
    found = _ids_by_topic(partitions_of(using, topics))
    if missing := set(topics) - found.keys():
        create_topics(using, missing, settings.DATABASE_LOG_PARTITIONS)
        found = _ids_by_topic(partitions_of(using, topics))
    return found


def _ids_by_topic(partitions: Sequence[Any]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for partition in partitions:
        ids.setdefault(partition.topic, []).append(partition.pk)
    return ids


# --- writing ----------------------------------------------------------------------------------------------------------


def append(
    using: str, messages: Sequence[Message], partitioner: Partitioner, deadline: Deadline, on_commit: Callable[[], None]
) -> list[RecordMetadata]:
    """
    Write a batch in one transaction and return where each message is.

    Raises:
        BackendUnavailable: Nothing was written.
    """
    ids = partition_ids(using, {message.topic for message in messages})
    keys = [message.key.encode() if message.key else None for message in messages]
    numbers = [partitioner.choose(key, len(ids[message.topic])) for message, key in zip(messages, keys, strict=True)]
    rows = [ids[message.topic][number] for message, number in zip(messages, numbers, strict=True)]
    with reachable(using), transaction.atomic(using=using):
        _bound(using, deadline)
        offsets = _give_offsets(using, rows)
        _insert(using, [_row(*each) for each in zip(rows, offsets, keys, messages, strict=True)])
        _refuse_if_late(deadline)
        transaction.on_commit(on_commit, using=using)
    return [
        RecordMetadata(message.topic, str(number), offset)
        for message, number, offset in zip(messages, numbers, offsets, strict=True)
    ]


def _bound(using: str, deadline: Deadline) -> None:
    """Let PostgreSQL end what waits for a lock beyond the deadline; elsewhere the server's own bound holds."""
    connection = connections[using]
    if connection.vendor == "postgresql" and len(connection.savepoint_ids) == 0:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(deadline.remaining_seconds * 1000))}")


def _refuse_if_late(deadline: Deadline) -> None:
    if deadline.passed:
        raise BackendUnavailable("The embedded log took longer than the time given, so the batch was rolled back.")


def _give_offsets(using: str, rows: Sequence[int]) -> list[int]:
    """Lock the partitions, always in one order, and count their offsets up."""
    counts = Counter(rows)
    following = _locked_next_offsets(using, sorted(counts))
    ends = {pk: following[pk] + count for pk, count in counts.items()}
    offsets = []
    for pk in rows:
        offsets.append(following[pk])
        following[pk] += 1
    _partitions(using, ends).update(next_offset=Case(*(When(pk=pk, then=Value(end)) for pk, end in ends.items())))
    return offsets


def _locked_next_offsets(using: str, ids: Sequence[int]) -> dict[int, int]:
    partitions = _partitions(using, ids).order_by("pk")
    if connections[using].features.has_select_for_update:
        partitions = partitions.select_for_update()
    else:
        # SQLite locks the whole file at the first write; a read before it makes "locked" come at once, not in time.
        _partitions(using, ids).update(next_offset=F("next_offset"))
    return dict(partitions.values_list("pk", "next_offset"))


def _partitions(using: str, ids: Collection[int]) -> QuerySet[Any]:
    from logpipe_signals.models import LogPartition

    return LogPartition.objects.using(using).filter(pk__in=list(ids))


def _row(partition_id: int, offset: int, key: bytes | None, message: Message) -> Model:
    from logpipe_signals.models import LogRecord

    headers = _stored_headers(message.headers)
    return LogRecord(partition_id=partition_id, offset=offset, key=key, value=message.value, headers=headers)


def _insert(using: str, records: Sequence[Any]) -> None:
    from logpipe_signals.models import LogRecord

    for chunk in _chunks(records):
        LogRecord.objects.using(using).bulk_create(chunk)


def _chunks(records: Sequence[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    size = 0
    for record in records:
        weight = len(record.value or b"")
        if chunk and size + weight > BYTES_A_STATEMENT:
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += weight
    if chunk:
        yield chunk


# --- reading ----------------------------------------------------------------------------------------------------------


def first_offsets(
    using: str, ids: Mapping[TopicPartition, int], *, since: datetime | None = None
) -> dict[TopicPartition, int]:
    """
    Return the offset of each partition's oldest record, or of the oldest one since a time; its end where there is none.

    A time is looked for along the offsets, on the index there is: an index of its own would cost every append.
    """
    from logpipe_signals.models import LogRecord

    records = LogRecord.objects.filter(partition=OuterRef("pk"))
    if since is not None:
        # SQLite compares texts, and its clock writes three digits where Django writes six: "at or after" would miss.
        records = records.filter(created_at__gt=since - timedelta(microseconds=1))
    oldest = records.order_by("offset").values("offset")[:1]
    rows = _partitions(using, ids.values()).annotate(first=Subquery(oldest)).values_list("pk", "first", "next_offset")
    found = {pk: end if first is None else first for pk, first, end in asked(using, lambda: list(rows))}
    return {partition: found.get(pk, 0) for partition, pk in ids.items()}


def fetch(
    using: str, ids: Mapping[TopicPartition, int], ranges: Mapping[TopicPartition, range]
) -> dict[TopicPartition, list[Record]]:
    """
    Return the records at these offsets, or the first of them where all would take too much memory.

    Offsets have no holes, so a range is as good as a limit.
    """
    rows = _records_of(using, ids, _within_bytes(using, ids, ranges))
    columns = rows.values_list("partition", "offset", "created_at", "key", "value", "headers")
    found: dict[TopicPartition, list[Record]] = {partition: [] for partition in ranges}
    names = {ids[partition]: partition for partition in ranges}
    for pk, *rest in asked(using, lambda: list(columns)):
        found[names[pk]].append(_record(names[pk], *rest))
    return found


def _within_bytes(
    using: str, ids: Mapping[TopicPartition, int], ranges: Mapping[TopicPartition, range]
) -> Mapping[TopicPartition, range]:
    """Shorten ranges whose values are more than `BYTES_A_FETCH`; a few records never are, and are not measured."""
    if sum(map(len, ranges.values())) * LARGEST_VALUE_BYTES <= BYTES_A_FETCH:
        return ranges
    rows = _records_of(using, ids, ranges)
    if (asked(using, lambda: rows.aggregate(bytes=Sum(Length("value"))))["bytes"] or 0) <= BYTES_A_FETCH:
        return ranges
    sizes = rows.values_list("partition", "offset", Length("value"))
    left = dict.fromkeys(ids.values(), BYTES_A_FETCH // len(ranges))
    stops: dict[int, int] = {}
    for pk, offset, size in asked(using, lambda: list(sizes)):
        left[pk] -= size or 0
        if left[pk] >= 0 or pk not in stops:
            stops[pk] = offset + 1
    return {each: range(offsets.start, stops.get(ids[each], offsets.stop)) for each, offsets in ranges.items()}


def _records_of(using: str, ids: Mapping[TopicPartition, int], ranges: Mapping[TopicPartition, range]) -> QuerySet[Any]:
    from logpipe_signals.models import LogRecord

    wanted = reduce(or_, (_within(ids[partition], offsets) for partition, offsets in ranges.items()), Q(pk__in=[]))
    return LogRecord.objects.using(using).filter(wanted).order_by("partition", "offset")


def _within(partition_id: int, offsets: range) -> Q:
    return Q(partition=partition_id, offset__gte=offsets.start, offset__lt=offsets.stop)


def _record(partition: TopicPartition, offset: int, created_at: Any, key: Any, value: Any, headers: Any) -> Record:
    milliseconds = created_at.timestamp() * 1000
    return Record(*partition, offset, milliseconds, _bytes(key), _bytes(value), _read_headers(headers))


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


# --- headers: JSON of [name, text], or [name, base64, "base64"] for bytes that no database's JSON would keep ----------


def _stored_headers(headers: Headers) -> list[list[str]]:
    return [[name, *_text_or_base64(value)] for name, value in headers]


def _text_or_base64(value: bytes) -> list[str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return [base64.b64encode(value).decode(), "base64"] if "\0" in text else [text]


def _read_headers(stored: list[list[str]]) -> Headers:
    return tuple((name, base64.b64decode(text) if coded else text.encode()) for name, text, *coded in stored)


# --- retention --------------------------------------------------------------------------------------------------------


def prune(using: str, *, older_than: timedelta, topics: Collection[str] | None = None) -> int:
    """
    Delete what is older, and return how many records that was.

    Each partition loses only records before its oldest one that stays, so no hole appears. A group that has not read
    them yet is told of the gap.
    """
    from logpipe_signals.models import LogPartition, LogRecord

    partitions = LogPartition.objects.using(using).all()
    if topics is not None:
        partitions = partitions.filter(topic__in=topics)
    stays = LogRecord.objects.filter(partition=OuterRef("pk"), created_at__gte=timezone.now() - older_than)
    first = Subquery(stays.order_by("offset").values("offset")[:1])
    rows = list(partitions.annotate(first=first).values_list("pk", "first", "next_offset"))
    return sum(_delete_before(using, pk, end if first is None else first) for pk, first, end in rows)


def _delete_before(using: str, partition_id: int, offset: int) -> int:
    from logpipe_signals.models import LogRecord

    return LogRecord.objects.using(using).filter(partition=partition_id, offset__lt=offset)._raw_delete(using) or 0
