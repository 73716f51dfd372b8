"""Both sides, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from testproject.mirror.models import CityCopy, CountryCopy, PersonCopy
from testproject.people.models import Person
from testproject.places.models import City, Country

Rows = dict[Any, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the publisher has and what the subscriber has of one kind."""

    name: str
    published: int
    mirrored: int
    differences: tuple[str, ...]


def compare() -> list[Comparison]:
    """Compare people, countries and cities."""
    return [_compare(name, published(), mirrored()) for name, (published, mirrored) in _SIDES.items()]


def _compare(name: str, published: Rows, mirrored: Rows) -> Comparison:
    keys = sorted(published.keys() | mirrored.keys(), key=str)
    different = [key for key in keys if published.get(key) != mirrored.get(key)]
    return Comparison(
        name=name,
        published=len(published),
        mirrored=len(mirrored),
        differences=tuple(_told(key, published.get(key), mirrored.get(key)) for key in different),
    )


def _told(key: Any, published: object, mirrored: object) -> str:
    if mirrored is None:
        return f"{key} is missing at the subscriber"
    if published is None:
        return f"{key} is gone at the publisher, and still at the subscriber"
    return f"{key} differs: published {published}, copied {mirrored}"


def _by_first(rows: Iterable[tuple[Any, ...]]) -> Rows:
    return {row[0]: row[1:] for row in rows}


def _people(model: type[Person] | type[PersonCopy]) -> Rows:
    return _by_first(model._base_manager.values_list("uuid", "first_name", "last_name", "email"))


def _countries(model: type[Country] | type[CountryCopy]) -> Rows:
    return _by_first(model._base_manager.values_list("code", "name", "capital"))


def _cities() -> Rows:
    tags: dict[int, list[str]] = {}
    for geoname_id, tag in City.tags.through._base_manager.values_list("city__geoname_id", "tag__name"):
        tags.setdefault(geoname_id, []).append(tag)
    fields = ("geoname_id", "name", "country_id", "population", "latitude", "longitude")
    return _by_first((*row, sorted(tags.get(row[0], []))) for row in City.objects.values_list(*fields))


def _city_copies() -> Rows:
    fields = ("geoname_id", "name", "country_code", "population", "latitude", "longitude", "tags")
    return _by_first((*row[:-1], sorted(row[-1])) for row in CityCopy.objects.values_list(*fields))


_SIDES: dict[str, tuple[Callable[[], Rows], Callable[[], Rows]]] = {
    "people": (lambda: _people(Person), lambda: _people(PersonCopy)),
    "countries": (lambda: _countries(Country), lambda: _countries(CountryCopy)),
    "cities": (_cities, _city_copies),
}
