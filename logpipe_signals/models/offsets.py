"""Where a consumer group stands, and what it applied last for each identity."""

from __future__ import annotations

from django.db import models

from logpipe_signals.models.exact import ExactCharField, ExactTextField


class Offset(models.Model):
    """
    The position of a group in a partition.

    `position` is text: the next offset to read on logs that count (Kafka, the embedded log), the last sequence number
    read on Kinesis, which has 56 digits. NULL: assigned, but nothing read yet. It moves by compare-and-set only.
    """

    log = models.CharField(max_length=64, help_text="kafka, database, or kinesis and its region.")
    group = ExactCharField(max_length=200)
    topic = ExactCharField(max_length=255)
    partition = ExactCharField(max_length=128)
    position = models.CharField(max_length=128, null=True)  # noqa: DJ001  (NULL and "" differ: nothing read yet)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "position"
        verbose_name_plural = "consumers and positions"
        constraints = [
            models.UniqueConstraint(fields=["log", "group", "topic", "partition"], name="logpipe_offset_partition")
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.topic}/{self.partition}: {self.position}"


class AppliedSequence(models.Model):
    """
    The newest sequence a group applied for an identity, within a source: what makes a stale record visible.

    `digest` is a hash of (group, source, topic, identity): one short unique column instead of four long ones.
    `message_key` is the key that message had: a retraction of a key the row has come back to is stale.
    """

    digest = models.UUIDField(primary_key=True, editable=False)
    identity = ExactCharField(max_length=255)
    sequence = models.BigIntegerField()
    deleted = models.BooleanField(default=False)
    message_key = ExactTextField(default="", db_default="")
    applied_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.identity}: {self.sequence}"
