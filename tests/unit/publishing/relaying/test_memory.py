"""What a batch read goes with the batch: a relay's garbage collector looks rarely."""

from __future__ import annotations

import gc

import pytest

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.relay import Relay
from testproject.places.models import City, Country, Tag
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db


def test_rows_with_what_was_prefetched_for_them_go_without_the_garbage_collector(
    relay: Relay, log: ScriptedProducer
) -> None:
    france = Country.objects.create(code="FR", name="France")
    paris = City.objects.create(geoname_id=1, name="Paris", country=france, latitude=0, longitude=0)
    paris.tags.add(Tag.objects.create(name="big"))
    OutboxRow.objects.exclude(publication="places.city:cities").delete()
    gc.collect()
    gc.disable()
    try:
        before = cities_in_memory()
        relay.drain()
        assert [body["message"]["tags"] for body in log.bodies()] == [["big"]]
        assert cities_in_memory() == before
    finally:
        gc.enable()


def cities_in_memory() -> int:
    return sum(type(each) is City for each in gc.get_objects())
