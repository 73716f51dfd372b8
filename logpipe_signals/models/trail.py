"""The trail: who looked at a payload, who replayed, skipped or started what, when, and what came of it."""

from __future__ import annotations

from django.db import models

from logpipe_signals.models.exact import ExactCharField


class TrailAction(models.TextChoices):
    """What was done."""

    LOOKED = "looked", "looked at the payload"
    LOOKED_AT_ALL = "looked_at_all", "looked at the payload, nothing redacted"
    DOWNLOADED = "downloaded", "downloaded the payload"
    REPLAYED = "replayed", "replayed"
    SKIPPED = "skipped", "skipped"
    STARTED = "started", "started"
    PAUSED = "paused", "paused"
    RESUMED = "resumed", "resumed"
    CANCELLED = "cancelled", "cancelled"


class TrailEntry(models.Model):
    """
    One step of somebody.

    It is written before the step, and told the outcome behind it: an empty one means that the process ended in between.
    It names the user and the thing by text, so that it outlives both, on a database that has no users.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    who = ExactCharField(max_length=255, help_text="The user's name.")
    action = models.CharField(max_length=16, choices=TrailAction)
    target = models.CharField(max_length=32, help_text="What was acted on: deadletter, backfill.")
    target_id = ExactCharField(max_length=64)
    about = ExactCharField(max_length=255, blank=True, default="", help_text="What that was, in words.")
    outcome = ExactCharField(max_length=255, blank=True, default="")

    class Meta:
        verbose_name = "trail entry"
        verbose_name_plural = "trail"
        default_permissions = ("view",)
        indexes = [models.Index(fields=["target", "target_id"], name="logpipe_trail_target")]

    def __str__(self) -> str:
        return f"{self.who} {self.action} {self.target} {self.target_id}"
