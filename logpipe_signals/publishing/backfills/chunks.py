"""
One chunk: outbox rows for the next rows of a publication, in the order of the primary key.

Each chunk is read behind the last key of the one before, so nothing is held but a chunk, and a job goes on wherever it
stopped. Where SQL can tell the keys they are copied inside the database by one statement; else the rows are read. Of a
publication of changes they are locked, so that no change gets between the reading and the writing.

What is written here has to be committed together with how far the job came (see `runner`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.models import BinaryField, Value
from rest_framework.renderers import JSONRenderer

from logpipe_signals.keys import database_text, decode_pk, lane_of, pk_fields
from logpipe_signals.models import Backfill, BackfillKey, OutboxRow
from logpipe_signals.models.backfills import BackfillOf
from logpipe_signals.models.expressions import LaneOf, with_pks
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, outbox, reading
from logpipe_signals.publishing.backfills.lookups import chosen
from logpipe_signals.publishing.backfills.targets import Target
from logpipe_signals.publishing.claim import BACKFILL, LIVE
from logpipe_signals.publishing.key_sql import key_sql, lane_key_sql, object_id_sql
from logpipe_signals.publishing.messages import only_versions


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What is written next. `last_key` is how far the job has come when it is committed."""

    write: Callable[[], int]
    last_key: str | None
    is_last: bool


def next_chunk(job: Backfill, found: Target, limit: int) -> Chunk:
    """Read which rows come next, at most so many; nothing is written before `write` is called."""
    if job.rows_of == BackfillOf.ROWS:
        return _next_rows(job, found, limit)
    listed = list(_listed(job).order_by("number")[:limit])
    send = _write_deleted if job.rows_of == BackfillOf.DELETED else _write_listed
    return Chunk(
        write=lambda: send(job, found, listed) if listed else 0,
        last_key=str(listed[-1].number) if listed else job.last_key,
        is_last=len(listed) < limit,
    )


def last_key_of(found: Target) -> str | None:
    """Return the text of the highest primary key there is now; None: the table is empty."""
    for pk in found.rows().reverse().values_list("pk", flat=True)[:1]:
        return pk_as_text(found, pk)
    return None


def pk_as_text(found: Target, pk: Any) -> str:
    """Return the outbox's text of a primary key, as `keys.encode_pk` does of an instance's."""
    values = pk if isinstance(pk, tuple) else (pk,)
    fields = pk_fields(found.publication.model)
    texts = [database_text(field, value, found.using) for field, value in zip(fields, values, strict=True)]
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


# --- which rows -------------------------------------------------------------------------------------------------------


def _next_rows(job: Backfill, found: Target, limit: int) -> Chunk:
    if job.end_key is None:
        return Chunk(write=lambda: 0, last_key=None, is_last=True)
    rows = chosen(found.rows(), job.where)
    if job.last_key is not None:
        rows = rows.filter(pk__gt=_pk(found, job.last_key))
    keys = list(rows.filter(pk__lte=_pk(found, job.end_key)).values_list("pk", flat=True)[:limit])
    if not keys:
        return Chunk(write=lambda: 0, last_key=job.last_key, is_last=True)
    return Chunk(
        write=lambda: write_rows(found, rows.filter(pk__lte=keys[-1]), job.versions),
        last_key=pk_as_text(found, keys[-1]),
        is_last=len(keys) < limit,
    )


def _listed(job: Backfill) -> models.QuerySet[BackfillKey]:
    return BackfillKey.objects.using(job.using).filter(backfill_id=job.pk, number__gt=int(job.last_key or 0))


def _pk(found: Target, text: str) -> Any:
    return decode_pk(found.publication.model, text, found.using)


# --- writing ----------------------------------------------------------------------------------------------------------


def write_rows(found: Target, rows: models.QuerySet[Any], versions: Sequence[int] = ()) -> int:
    """Write these rows' intents to the outbox, in the order of the primary key, and return how many there are."""
    if found.keeps_changes:
        return _write_changes(found, rows, versions)
    object_id = object_id_sql(found.publication, found.using)
    key = key_sql(found.publication, found.using)
    if object_id is None or key is None:
        return _write_one_by_one(found, rows, versions)
    return _insert_select(found, rows, object_id, key, only_versions(versions))


def _write_listed(job: Backfill, found: Target, listed: Sequence[BackfillKey]) -> int:
    texts = [one.key for one in listed]
    condition = with_pks(
        found.publication.model, texts, [_pk(found, text) for text in texts], connections[found.using].vendor
    )
    return write_rows(found, chosen(found.rows().filter(condition), job.where), job.versions)


def _write_deleted(job: Backfill, found: Target, listed: Sequence[BackfillKey]) -> int:
    """Write what capture would have written; the relay sends a row's state instead where it came back meanwhile."""
    intents = [
        outbox.Intent(
            publication=found.publication,
            object_id=one.key,
            key=one.values["key"],
            operation=Operation.DELETE,
            payload=JSONRenderer().render(one.values["payload"]),
        )
        for one in listed
        if one.values is not None
    ]
    return _write(found, intents, BACKFILL)


def _insert_select(found: Target, rows: models.QuerySet[Any], object_id: Any, key: Any, payload: bytes | None) -> int:
    columns = {
        "publication": Value(found.publication.name),
        "object_id": object_id,
        "key": key,
        "lane": LaneOf(
            found.publication.topic, lane_key_sql(key, object_id, found.using), outbox.lane_count(found.using)
        ),
        "operation": Value(Operation.UPSERT.value),
        "priority": Value(BACKFILL),
        "payload": Value(payload, output_field=BinaryField()),
    }
    # A model's own fields may have these names.
    aliased = {f"logpipe_{name}": expression for name, expression in columns.items()}
    select, parameters = rows.annotate(**aliased).values_list(*aliased).query.get_compiler(found.using).as_sql()
    connection = connections[found.using]
    table = connection.ops.quote_name(OutboxRow._meta.db_table)
    quoted = ", ".join(connection.ops.quote_name(name) for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({quoted}) {select}", parameters)
        return int(cursor.rowcount)


def _write_one_by_one(found: Target, rows: models.QuerySet[Any], versions: Sequence[int]) -> int:
    relations = found.publication.options.select_related
    instances = rows.select_related(*relations) if relations else rows
    intents = [
        outbox.Intent(
            publication=found.publication,
            object_id=pk_as_text(found, reading.pk_of(found.publication.model, instance)),
            key=reading.key_of(found.publication, instance),
            payload=only_versions(versions),
        )
        for instance in instances
    ]
    return _write(found, intents, BACKFILL)


def _write_changes(found: Target, rows: models.QuerySet[Any], versions: Sequence[int]) -> int:
    """Write rows with what they hold, in line with the live changes, which may not be overtaken nor overtake."""
    options = found.publication.options
    if options.select_related:
        rows = rows.select_related(*options.select_related)
    instances = list(before.locked(rows.prefetch_related(*options.prefetch_related), found.using))
    intents = [
        outbox.Intent(
            publication=found.publication,
            object_id=pk_as_text(found, reading.pk_of(found.publication.model, instance)),
            key=reading.key_of(found.publication, instance),
            payload=reading.change_payload(found.publication, instance, versions),
        )
        for instance in instances
    ]
    return _write(found, intents, LIVE)


def _write(found: Target, intents: Sequence[outbox.Intent], priority: int) -> int:
    lanes = outbox.lane_count(found.using)
    rows = [
        OutboxRow(
            publication=intent.publication.name,
            object_id=intent.object_id,
            key=intent.key,
            lane=lane_of(intent.publication.topic, intent.lane_key, lanes),
            operation=intent.operation,
            priority=priority,
            payload=intent.payload,
        )
        for intent in intents
    ]
    return len(OutboxRow.objects.using(found.using).bulk_create(rows))
