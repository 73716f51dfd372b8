"""What writers write beside people: a model captured by triggers, one that shows others, one that sends each change."""

from __future__ import annotations

from django.db import models

from logpipe_signals import publishes
from logpipe_signals.managers import PublishingManager

DATABASE_CASCADE = getattr(models, "DB_CASCADE", models.CASCADE)
"""Django 6.1 brings it."""


class Owner(models.Model):
    """Published to nothing: its accounts go with it, by the database alone."""

    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


@publishes("accounts", "tests.scenarios.publishing.serializers.AccountSerializer", capture="triggers")
class Account(models.Model):
    """Captured by triggers: written by SQL, by other programs, by cascades of the database, and by Django."""

    code = models.CharField(max_length=50, unique=True)
    note = models.CharField(max_length=200)
    owner = models.ForeignKey(Owner, null=True, on_delete=DATABASE_CASCADE)

    def __str__(self) -> str:
        return self.code


class Shelf(models.Model):
    """Shown by the books that point to it."""

    name = models.CharField(max_length=200)

    objects = PublishingManager()

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """Shown by the books that are linked to it."""

    name = models.CharField(max_length=200)

    objects = PublishingManager()

    def __str__(self) -> str:
        return self.name


@publishes(
    "books",
    "tests.scenarios.publishing.serializers.BookSerializer",
    related=["shelf", "tags", "pages"],
    select_related=["shelf"],
    prefetch_related=["tags", "pages"],
)
class Book(models.Model):
    """Shows a shelf, tags and pages."""

    title = models.CharField(max_length=200)
    shelf = models.ForeignKey(Shelf, null=True, on_delete=models.SET_NULL)
    tags = models.ManyToManyField(Tag, related_name="books")

    objects = PublishingManager()

    def __str__(self) -> str:
        return self.title


class Page(models.Model):
    """Points to the book that shows it, and moves from one to another."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="pages")
    text = models.CharField(max_length=200)

    objects = PublishingManager()

    def __str__(self) -> str:
        return self.text


@publishes("meters", "tests.scenarios.publishing.serializers.MeterSerializer", payload="change")
class Meter(models.Model):
    """Each committed save is a message of its own."""

    reading = models.CharField(max_length=200)

    objects = PublishingManager()

    def __str__(self) -> str:
        return self.reading
