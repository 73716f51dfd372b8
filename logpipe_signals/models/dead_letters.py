"""Dead letters: what could not be sent or applied, with everything needed to understand and replay it."""

from __future__ import annotations

from django.db import models
from model_utils.models import TimeStampedModel

from logpipe_signals.models.exact import ExactCharField, ExactTextField


class Side(models.TextChoices):
    """Where the message got stuck."""

    PUBLISHER = "publisher", "publisher"
    CONSUMER = "consumer", "consumer"


class DeadLetterState(models.TextChoices):
    """What became of it."""

    OPEN = "open", "open"
    PARKED = "parked", "parked"
    REPLAYED = "replayed", "replayed"
    SUPERSEDED = "superseded", "superseded"
    SKIPPED = "skipped", "skipped"


WAITING = (DeadLetterState.OPEN, DeadLetterState.PARKED)
"""The states in which somebody has to do something, or the next change of the row does it. The others are closed."""


class DeadLetter(TimeStampedModel):
    """
    A message set aside.

    A publisher's has `publication` and `object_id` (and bytes when it could be serialised), and its `offset` is the
    place that it had in the outbox; a consumer's has `group`, `partition` and `offset`. `headers` is a list of
    [name, base64 of the value].
    """

    side = models.CharField(max_length=10, choices=Side)
    state = models.CharField(max_length=10, choices=DeadLetterState, default=DeadLetterState.OPEN)
    topic = ExactCharField(max_length=255)
    partition = ExactCharField(max_length=128, blank=True, default="")
    offset = ExactCharField(max_length=128, blank=True, default="")
    group = ExactCharField(max_length=200, blank=True, default="")
    publication = ExactCharField(max_length=200, blank=True, default="")
    object_id = ExactTextField(blank=True, default="")
    identity = ExactCharField(max_length=255, blank=True, default="")
    message_type = ExactCharField(max_length=200, blank=True, default="")
    version = models.IntegerField(null=True, blank=True)
    source = ExactCharField(max_length=64, blank=True, default="")
    sequence = models.BigIntegerField(null=True, blank=True)
    key = models.BinaryField(null=True)
    value = models.BinaryField(null=True)
    operation = models.CharField(max_length=8, blank=True, default="", help_text="A publisher's: as in the outbox.")
    payload = models.BinaryField(null=True, help_text="A publisher's: as in the outbox.")
    headers = models.JSONField(default=list)
    reason = models.CharField(max_length=64, help_text="The error's class name.")
    error = ExactTextField()
    traceback = ExactTextField(blank=True, default="")
    attempts = models.IntegerField(default=1)

    class Meta:
        verbose_name = "dead letter"
        permissions = [
            ("view_payload", "Can look at payloads, sensitive fields redacted"),
            ("view_unredacted_payload", "Can look at and download whole payloads"),
            ("replay_deadletter", "Can replay and skip dead letters"),
        ]
        indexes = [
            models.Index(fields=["state", "side", "created"], name="logpipe_dead_letter_state"),
            models.Index(fields=["identity", "state"], name="logpipe_dead_letter_identity"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.topic} {self.identity or self.offset}: {self.reason}"
