"""Tables of the same shape as the test project's people, which nobody publishes."""

from __future__ import annotations

import uuid

from django.db import models


class PlainPerson(models.Model):
    """Somebody whom nobody hears of."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"
