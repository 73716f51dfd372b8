"""The subscriber's own tables: what the consumer keeps of people and places."""

from __future__ import annotations

from django.db import models


class PersonCopy(models.Model):
    """A person as the subscriber knows them."""

    uuid = models.UUIDField(unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "person copies"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class CountryCopy(models.Model):
    """A country as the subscriber knows it."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=200)
    capital = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "country copies"

    def __str__(self) -> str:
        return self.name


class CityCopy(models.Model):
    """A city as the subscriber knows it: flat, with the tags as a list."""

    geoname_id = models.BigIntegerField(unique=True)
    name = models.CharField(max_length=200)
    country_code = models.CharField(max_length=2)
    population = models.BigIntegerField(default=0)
    latitude = models.FloatField()
    longitude = models.FloatField()
    tags = models.JSONField(default=list)

    class Meta:
        verbose_name_plural = "city copies"

    def __str__(self) -> str:
        return self.name
