"""People: the smallest published model."""

from __future__ import annotations

import uuid

from django.db import models

from logpipe_signals import publishes
from logpipe_signals.managers import PublishingManager


@publishes("people", "testproject.people.serializers.PersonSerializer")
class Person(models.Model):
    """Somebody."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    objects = PublishingManager()

    class Meta:
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"
