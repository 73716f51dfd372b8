"""The outbox: one row for each intent to publish, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from django.db import connections, models

from logpipe_signals.models.exact import ExactCharField, ExactTextField
from logpipe_signals.models.expressions import DatabaseNow, array_text
from logpipe_signals.models.leases import Lease, LeaseKind

if TYPE_CHECKING:
    from typing import Self


class Operation(models.TextChoices):
    """What happened to the row, as far as publishing is concerned."""

    UPSERT = "upsert"
    DELETE = "delete"
    RETRACT = "retract"


class OutboxQuerySet(models.QuerySet["OutboxRow"]):
    """The verbs of the outbox."""

    def ready(self, now: models.Expression) -> Self:
        """Leave out the rows that wait for another try."""
        return self.filter(models.Q(retry_at=None) | models.Q(retry_at__lte=now))

    def retire(self, ids: Collection[int], *, tokens: Sequence[tuple[int, int]] | None = None) -> int:
        """
        Delete exactly these rows, and return how many were there.

        With `tokens` ((lane, token) of the leases they were claimed under) a row whose lane has another owner by now
        stays: its new owner sends it again.
        """
        if tokens is not None and connections[self.db].vendor == "postgresql":
            return self._retire_by_arrays(ids, tokens)
        rows = self.filter(pk__in=ids)
        if tokens is not None:
            held = Lease.objects.using(self.db).lanes_with_tokens(tokens)
            rows = rows.filter(lane__in=models.Subquery(held))
        return rows._raw_delete(self.db) or 0

    def _retire_by_arrays(self, ids: Collection[int], tokens: Sequence[tuple[int, int]]) -> int:
        """Two arrays instead of hundreds of placeholders, which cost the client more than the database."""
        if not ids or not tokens:
            return 0
        lanes, numbers = zip(*tokens, strict=True)
        # The lanes as an array of their own: joined, they would be what the rows are looked up by, one lane at a time.
        sql = f"""
            DELETE FROM {OutboxRow._meta.db_table} WHERE id = ANY(%s::bigint[]) AND lane = ANY(ARRAY(
                SELECT lease.number
                FROM {Lease._meta.db_table} AS lease, unnest(%s::int[], %s::bigint[]) AS held (lane, token)
                WHERE lease.kind = %s AND lease.number = held.lane AND lease.token = held.token))"""  # noqa: S608
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [array_text(ids), array_text(lanes), array_text(numbers), LeaseKind.LANE.value])
            return int(cursor.rowcount)


class OutboxRow(models.Model):
    """
    One intent to publish.

    `object_id` is the text of the primary key's database value (`keys.encode_pk`), `key` the message key as captured;
    (topic, key) decides the lane. `payload` holds what cannot be read later: for a delete, the JSON of its message.
    No unique constraint, so that no two transactions ever wait for each other here.
    """

    id = models.BigAutoField(primary_key=True)
    publication = ExactCharField(max_length=200)
    object_id = ExactTextField()
    key = ExactTextField()
    lane = models.SmallIntegerField()
    operation = models.CharField(max_length=8, choices=Operation, default=Operation.UPSERT)
    priority = models.SmallIntegerField(db_default=0, help_text="0: live changes; higher: later, as backfills.")
    payload = models.BinaryField(null=True)
    headers = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    attempts = models.SmallIntegerField(db_default=0)
    retry_at = models.DateTimeField(null=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        verbose_name = "outbox row"
        verbose_name_plural = "outbox"
        indexes = [models.Index(fields=["lane", "priority", "id"], name="logpipe_outbox_lane")]

    def __str__(self) -> str:
        return f"{self.operation} {self.publication} {self.object_id}"
