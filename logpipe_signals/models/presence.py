"""Presences: which relays and consumers run, where, since when, and when each of them last said so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from logpipe_signals.models.exact import ExactCharField
from logpipe_signals.models.expressions import DatabaseNow, SecondsFromNow

if TYPE_CHECKING:
    from typing import Self

FORGET_AFTER_SECONDS = 24 * 3600.0


class PresenceKind(models.TextChoices):
    """What runs."""

    RELAY = "relay", "relay"
    CONSUMER = "consumer", "consumer"


class PresenceQuerySet(models.QuerySet["Presence"]):
    """The verbs of a presence, each one statement."""

    def of_kind(self, kind: str) -> Self:
        """Keep the relays, or the consumers."""
        return self.filter(kind=kind)

    def seen(self, kind: str, name: str, serves: Any) -> bool:
        """Note that a process lives and what it serves now; False where nobody announced it."""
        mine = self.filter(kind=kind, name=name)
        return bool(mine.update(seen_at=DatabaseNow(), serves=serves))

    def announce(self, **values: Any) -> None:
        """Add a process, and forget those that were last seen long ago."""
        self.filter(seen_at__lt=SecondsFromNow(-FORGET_AFTER_SECONDS)).delete()
        self.bulk_create([self.model(**values)], ignore_conflicts=True)

    def leave(self, kind: str, name: str) -> None:
        """Remove a process that ends."""
        self.filter(kind=kind, name=name).delete()


class Presence(models.Model):
    """
    A running relay or consumer.

    `serves` of a consumer: {"topics": [...], "partitions": [[topic, partition], ...]}; which lanes a relay holds, its
    leases tell. Both times are by the database's clock. One that was killed stays here, and its `seen_at` grows old.
    """

    kind = models.CharField(max_length=10, choices=PresenceKind)
    name = ExactCharField(max_length=200, help_text="A relay's: the owner of its leases.")
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    group = ExactCharField(max_length=200, blank=True, default="", help_text="A consumer's.")
    serves = models.JSONField(default=dict)
    started_at = models.DateTimeField(db_default=DatabaseNow())
    seen_at = models.DateTimeField(db_default=DatabaseNow())

    objects = PresenceQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="logpipe_presence_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
