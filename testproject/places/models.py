"""Countries and cities: a foreign key, a many-to-many and a nested serializer, with real rows from GeoNames."""

from __future__ import annotations

from django.db import models

from logpipe_signals import publishes
from logpipe_signals.managers import PublishingManager


class Tag(models.Model):
    """A word about a city: its time zone, its size."""

    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


@publishes("countries", "testproject.places.serializers.CountrySerializer")
class Country(models.Model):
    """A country; its ISO code is its primary key."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=200)
    capital = models.CharField(max_length=200, blank=True)

    objects = PublishingManager()

    class Meta:
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name


@publishes(
    "cities",
    "testproject.places.serializers.CitySerializer",
    select_related=["country"],
    prefetch_related=["tags"],
)
class City(models.Model):
    """A city; GeoNames' id finds it again."""

    geoname_id = models.BigIntegerField(unique=True)
    name = models.CharField(max_length=200)
    country = models.ForeignKey(Country, on_delete=models.CASCADE, related_name="cities")
    population = models.BigIntegerField(default=0)
    latitude = models.FloatField()
    longitude = models.FloatField()
    tags = models.ManyToManyField(Tag, blank=True, related_name="cities")

    objects = PublishingManager()

    class Meta:
        verbose_name_plural = "cities"

    def __str__(self) -> str:
        return self.name
