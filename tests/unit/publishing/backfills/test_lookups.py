"""Lookups as text: what is right becomes JSON, what is wrong is told with what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from logpipe_signals.exceptions import BackfillError
from logpipe_signals.publishing.backfills.lookups import chosen, parse_lookups, since
from testproject.places.models import City, Country, Tag
from tests.zoo.models import Broken

pytestmark = [pytest.mark.usefixtures("no_relay")]


class Timed(models.Model):  # noqa: DJ008  (nobody reads its name)
    """Has two times, one of them kept by Django."""

    made = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    on = models.DateField()
    is_new = models.BooleanField()

    class Meta:
        app_label = "backfill_lookups"
        managed = False


@pytest.mark.parametrize(
    ("text", "lookup", "value"),
    [
        ("country=DE", "country", "DE"),
        ("name=a=b", "name", "a=b"),
        ("population__gte=100000", "population__gte", "100000"),
        ("country__in=DE,FR", "country__in", ["DE", "FR"]),
        ("country__name__startswith=G", "country__name__startswith", "G"),
        ("tags__isnull=true", "tags__isnull", True),
        ("pk__gt=5", "pk__gt", "5"),
        ("country_id=DE", "country_id", "DE"),
    ],
)
def test_a_text_becomes_a_lookup_and_its_value(text: str, lookup: str, value: Any) -> None:
    assert parse_lookups(City, [text]) == {lookup: value}


def test_a_time_has_a_zone_and_a_truth_is_one() -> None:
    found = parse_lookups(Timed, ["changed__gte=2026-01-31", "is_new=yes", "changed__year=2026"])
    assert found == {"changed__gte": "2026-01-31T00:00:00+00:00", "is_new": True, "changed__year": "2026"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("contry=DE", r"places\.City has no field 'contry'\. Did you mean 'country'"),
        ("country__nam=DE", r"places\.Country has no field 'nam'\. Did you mean 'name'"),
        ("population__gteq=5", r"places\.City\.population has no lookup 'gteq'\. Did you mean 'gte'"),
        ("country", r"'country' is no lookup\. Write FIELD=VALUE"),
        ("=DE", r"'=DE' is no lookup"),
        ("tags__isnull=maybe", "neither true nor false"),
    ],
)
def test_a_wrong_lookup_is_told_the_nearest_right_one(text: str, told: str) -> None:
    with pytest.raises(BackfillError, match=told):
        parse_lookups(City, [text])


def test_a_lookup_given_twice_is_refused() -> None:
    with pytest.raises(BackfillError, match=r"given twice.*country__in=A,B"):
        parse_lookups(City, ["country=DE", "country=FR"])


def test_since_takes_the_only_field_that_django_keeps() -> None:
    assert since(Timed, "2026-01-31T12:00:00+02:00") == ("changed__gte", "2026-01-31T12:00:00+02:00")
    assert since(Timed, "made=2026-01-31") == ("made__gte", "2026-01-31T00:00:00+00:00")
    assert since(Timed, "on=2026-01-31") == ("on__gte", "2026-01-31")


@pytest.mark.parametrize(
    ("model", "text", "told"),
    [
        (Broken, "2026-01-31", r"no field with auto_now\. Say which: --since FIELD=TIMESTAMP"),
        (Timed, "is_new=2026-01-31", r"is_new holds no time\. Fields that do: made, changed, on"),
        (Timed, "yesterday", r"'yesterday' is no time\. Write 2026-01-31"),
        (Timed, "2026-02-31", r"is no time"),
    ],
)
def test_a_since_that_cannot_be_is_told(model: Any, text: str, told: str) -> None:
    with pytest.raises(BackfillError, match=told):
        since(model, text)


@pytest.mark.django_db
def test_a_row_that_a_relation_finds_twice_is_there_once() -> None:
    country = Country.objects.create(code="FR", name="France")
    city = City.objects.create(geoname_id=1, name="Paris", country=country, latitude=0, longitude=0)
    city.tags.add(Tag.objects.create(name="big"), Tag.objects.create(name="beautiful"))
    rows = chosen(City._base_manager.order_by("pk"), {"tags__name__startswith": "b", "country": "FR"})
    assert [row.pk for row in rows] == [city.pk]
