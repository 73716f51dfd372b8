"""The tables that the other side has: people on the publisher's, their copies on the subscriber's."""

import uuid

from django.db import models


class Person(models.Model):
    """Somebody."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    class Meta:
        managed = False
        db_table = "people_person"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class PersonCopy(models.Model):
    """A person as the subscriber knows them."""

    uuid = models.UUIDField(unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    class Meta:
        managed = False
        db_table = "mirror_personcopy"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"
