"""The embedded log: topics, partitions and records in any Django database."""

from __future__ import annotations

from django.db import models

from logpipe_signals.models.exact import ExactCharField
from logpipe_signals.models.expressions import DatabaseNow


class LogPartition(models.Model):
    """
    A partition of a topic on the embedded log.

    Offsets are given under this row's lock, so they become visible in order: a reader that saw 7 has seen 1 to 6.
    """

    topic = ExactCharField(max_length=255)
    number = models.IntegerField()
    next_offset = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["topic", "number"], name="logpipe_log_partition")]

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class LogRecord(models.Model):
    """A record on the embedded log. `headers` is a list of [name, text]."""

    id = models.BigAutoField(primary_key=True)
    partition = models.ForeignKey(LogPartition, on_delete=models.CASCADE, related_name="records", db_index=False)
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True)
    value = models.BinaryField(null=True)
    headers = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["partition", "offset"], name="logpipe_log_record_offset")]

    def __str__(self) -> str:
        return f"{self.partition_id}@{self.offset}"
