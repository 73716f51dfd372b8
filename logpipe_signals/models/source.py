"""The source: this database as a publisher. Its name, its number of lanes, and the sequence of its messages."""

from __future__ import annotations

from uuid import uuid4

from django.db import models, transaction
from django.db.models import F

from logpipe_signals.conf import settings


class SourceManager(models.Manager["Source"]):
    """Finds and counts up the one row."""

    def current(self, using: str) -> Source:
        """Return this database's source, making it the first time."""
        source, _ = self.using(using).get_or_create(
            pk=1, defaults={"name": settings.SOURCE or uuid4().hex, "lanes": settings.LANES}
        )
        return source

    def draw_sequence(self, using: str) -> tuple[str, int]:
        """
        Return (source name, next sequence number). Drawn after the claim and before the read.

        Whoever draws later gets a higher number; the row's lock is held for this statement pair only.
        """
        with transaction.atomic(using=using):
            if not self.using(using).filter(pk=1).update(sequence=F("sequence") + 1):
                self.current(using)
                self.using(using).filter(pk=1).update(sequence=F("sequence") + 1)
            name, sequence = self.using(using).values_list("name", "sequence").get(pk=1)
        return name, sequence


class Source(models.Model):
    """One row a database."""

    name = models.CharField(max_length=64)
    lanes = models.SmallIntegerField()
    sequence = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceManager()

    def __str__(self) -> str:
        return self.name
