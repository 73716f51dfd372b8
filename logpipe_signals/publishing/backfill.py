"""
Backfill: every row of a publication is sent again, as it is when its turn comes.

    for target in targets(["people"]):
        enqueue(target)
    drain(targets(["people"]))

Enqueuing copies keys inside the database, in the order of the primary key: one INSERT ... SELECT, whatever the number
of rows. Backfilled rows have a lower priority, so live changes overtake them.

A publication of changes (`payload="change"`) keeps what it sends in the outbox, so that nothing may overtake: its rows
are locked, serialised and enqueued chunk by chunk, in line with the live changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, router, transaction
from django.db.models import Value

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.keys import lane_of
from logpipe_signals.models import OutboxRow
from logpipe_signals.models.expressions import LaneOf
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import clock, outbox
from logpipe_signals.publishing.claim import BACKFILL
from logpipe_signals.publishing.key_sql import key_sql, lane_key_sql, object_id_sql
from logpipe_signals.publishing.relay import Relay, RelayReport
from logpipe_signals.registry import Publication, publications

ROWS_A_CHUNK = 1000
PROGRESS_SECONDS = 0.5
Progress = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A publication on one database alias."""

    publication: Publication
    using: str

    def rows(self) -> models.QuerySet[Any]:
        """Return its rows in the order of the primary key, past any default manager."""
        return self.publication.model._base_manager.using(self.using).order_by("pk")

    @property
    def keeps_changes(self) -> bool:
        """Tell whether the outbox holds what is sent, and not only which row changed."""
        return self.publication.options.payload == "change"

    def pending(self) -> int:
        """Return how many backfilled rows wait in the outbox; of changes, how many rows at all."""
        waiting = OutboxRow.objects.using(self.using).filter(publication=self.publication.name)
        return waiting.count() if self.keeps_changes else waiting.filter(priority=BACKFILL).count()


# --- choosing ---------------------------------------------------------------------------------------------------------


def targets(labels: Sequence[str] = (), databases: Sequence[str] = ()) -> list[Target]:
    """
    Return what labels name: models (`app.Model`), publications by name, topics. Without labels, everything.

    Args:
        databases: The aliases to take the rows from; by default the one that each model is written to.

    Raises:
        DeclarationError: A label names nothing, or a publication's serializer does not load.
    """
    chosen = {p.name: p for label in labels for p in _named(label)} if labels else {p.name: p for p in publications}
    for publication in chosen.values():
        _ = publication.serializer_classes  # raises with the cure
    return [
        Target(publication=publication, using=using)
        for publication in chosen.values()
        for using in databases or [router.db_for_write(publication.model)]
    ]


def _named(label: str) -> list[Publication]:
    found = [p for p in publications if label in (p.name, p.topic) or label.lower() == p.model._meta.label_lower]
    if not found:
        known = ", ".join(sorted(p.name for p in publications)) or "none at all; declare one with @publishes"
        raise DeclarationError(
            f"{label!r} is no publication, no published model (app.Model) and no topic of one. "
            f"There are (app.model:topic): {known}."
        )
    return found


# --- enqueuing --------------------------------------------------------------------------------------------------------


def enqueue(target: Target) -> int:
    """Put every row of a target into the outbox, and return how many there are."""
    if target.keeps_changes:
        return sum(_write_changes(target, pks) for pks in _chunks(target.rows().values_list("pk", flat=True)))
    object_id = object_id_sql(target.publication, target.using)
    key = key_sql(target.publication, target.using)
    if object_id is None or key is None:
        return sum(_write(target, chunk) for chunk in _chunks(_with_relations(target)))
    return _insert_select(target, object_id, key)


def _insert_select(target: Target, object_id: Any, key: Any) -> int:
    columns = {
        "publication": Value(target.publication.name),
        "object_id": object_id,
        "key": key,
        "lane": LaneOf(
            target.publication.topic,
            lane_key_sql(key, object_id, target.using),
            outbox.lane_count(target.using),
        ),
        "operation": Value(Operation.UPSERT.value),
        "priority": Value(BACKFILL),
    }
    # A model's own fields may have these names.
    aliased = {f"logpipe_{name}": expression for name, expression in columns.items()}
    rows = target.rows().annotate(**aliased).values_list(*aliased)
    select, parameters = rows.query.get_compiler(target.using).as_sql()
    connection = connections[target.using]
    table = connection.ops.quote_name(OutboxRow._meta.db_table)
    quoted = ", ".join(connection.ops.quote_name(name) for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({quoted}) {select}", parameters)
        return int(cursor.rowcount)


def _with_relations(target: Target) -> models.QuerySet[Any]:
    relations = target.publication.options.select_related
    return target.rows().select_related(*relations) if relations else target.rows()


def _chunks(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield rows or primary keys in chunks, each read behind the last primary key of the one before."""
    chunk = list(rows[:ROWS_A_CHUNK])
    while chunk:
        yield chunk
        last = chunk[-1].pk if isinstance(chunk[-1], models.Model) else chunk[-1]
        chunk = list(rows.filter(pk__gt=last)[:ROWS_A_CHUNK])


def _write_changes(target: Target, pks: Sequence[Any]) -> int:
    """Enqueue rows with what they hold, locked, so that no change gets between the reading and the writing."""
    with transaction.atomic(using=target.using):
        rows = target.rows().filter(pk__in=pks)
        locks = connections[target.using].features.has_select_for_update
        instances = list(rows.select_for_update() if locks else rows)
        outbox.write(target.using, [outbox.upsert(target.publication, each, target.using) for each in instances])
    return len(instances)


def _write(target: Target, instances: Sequence[models.Model]) -> int:
    lanes = outbox.lane_count(target.using)
    intents = [outbox.upsert(target.publication, instance, target.using) for instance in instances]
    rows = [
        OutboxRow(
            publication=target.publication.name,
            object_id=intent.object_id,
            key=intent.key,
            lane=lane_of(target.publication.topic, intent.lane_key, lanes),
            priority=BACKFILL,
        )
        for intent in intents
    ]
    return len(OutboxRow.objects.using(target.using).bulk_create(rows))


# --- sending ----------------------------------------------------------------------------------------------------------


def drain(
    chosen: Sequence[Target], *, progress: Progress = lambda rows: None, stop: threading.Event | None = None
) -> RelayReport:
    """
    Relay until no backfilled row of these targets is pending, beside whatever other relays there are.

    Args:
        progress: Called with the number of rows that left the outbox since the last call.
        stop: Set it to end early; what is left stays in the outbox.

    Raises:
        BackendUnavailable: The log cannot be reached; what was not acknowledged stays pending.
    """
    stop = stop or threading.Event()
    report = RelayReport()
    for using in dict.fromkeys(target.using for target in chosen):
        report += _drain_alias([target for target in chosen if target.using == using], progress, stop)
    return report


def _drain_alias(chosen: Sequence[Target], progress: Progress, stop: threading.Event) -> RelayReport:
    relay, report = Relay(chosen[0].using), RelayReport()
    pending = _pending(chosen)
    try:
        while pending and not stop.is_set():
            step = relay.drain(deadline=clock.seconds() + PROGRESS_SECONDS)
            report += step
            before, pending = pending, _pending(chosen)
            progress(before - pending)
            if pending and not step.claimed:
                stop.wait(PROGRESS_SECONDS)  # Another relay's lanes, or rows that wait for another try.
    finally:
        relay.stop()
    return report


def _pending(chosen: Sequence[Target]) -> int:
    return sum(target.pending() for target in chosen)
