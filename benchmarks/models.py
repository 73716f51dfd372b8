"""Tables of the same shape as the test project's people: one that nobody publishes, one that triggers capture."""

from __future__ import annotations

import uuid

from django.db import models

from logpipe_signals import publishes


class Somebody(models.Model):
    """What they have in common."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class PlainPerson(Somebody):
    """Somebody whom nobody hears of."""


@publishes("triggered-people", "benchmarks.serializers.TriggeredPersonSerializer", capture="triggers")
class TriggeredPerson(Somebody):
    """Somebody whom the database itself captures."""
