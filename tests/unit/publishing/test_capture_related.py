"""A change of what is shown with a row publishes the row: many-to-many links, and rows named by `related=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from logpipe_signals import echo
from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.places.models import City, Country, Tag
from tests.unit.publishing.outbox_rows import captured, forget, look_up_who_shows
from tests.zoo.models import Address, Friend, Label, Line, Order, Packing, Parcel, Region

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]


class Shop:
    """Two orders, and everything that they show."""

    def __init__(self) -> None:
        self.region = Region.objects.create(name="North")
        self.address = Address.objects.create(street="Main", region=self.region)
        self.first = Order.objects.create(number="1", address=self.address)
        self.second = Order.objects.create(number="2")
        self.label = Label.objects.create(name="new")
        self.line = Line.objects.create(order=self.first, text="a")
        self.parcel = Parcel.objects.create(name="p")
        outbox.lane_count("default")
        forget()

    def republished(self) -> set[str]:
        """Return the numbers of the orders that were published since the last call."""
        look_up_who_shows()
        rows = captured()
        forget()
        assert {(topic, operation) for topic, operation, _ in rows} <= {("orders", "upsert")}
        numbers = dict(Order.objects.values_list("pk", "number"))
        return {numbers[int(object_id)] for _, _, object_id in rows}


@pytest.fixture
def shop() -> Shop:
    return Shop()


# --- many-to-many links -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["labels", "stickers"])
def test_links_changed_from_the_near_side_publish_the_row(shop: Shop, name: str) -> None:
    links = getattr(shop.first, name)
    changes: list[Callable[[], Any]] = [
        lambda: links.add(shop.label),
        lambda: links.remove(shop.label),
        lambda: links.set([shop.label]),
        lambda: links.create(name="newer"),
        links.clear,
    ]
    for change in changes:
        change()
        assert shop.republished() == {"1"}


@pytest.mark.parametrize("name", ["orders", "stuck_to"])
def test_links_changed_from_the_far_side_publish_the_rows(shop: Shop, name: str) -> None:
    links = getattr(shop.label, name)
    links.add(shop.first, shop.second)
    assert shop.republished() == {"1", "2"}
    links.remove(shop.second)
    assert shop.republished() == {"2"}
    links.set([shop.second])
    assert shop.republished() == {"1", "2"}
    links.clear()
    assert shop.republished() == {"2"}


def test_links_that_are_the_same_from_both_sides_publish_both_rows() -> None:
    """Django tells of one side alone."""
    joe, jane = Friend.objects.create(name="Joe"), Friend.objects.create(name="Jane")
    both = {("friends", "upsert", str(joe.pk)), ("friends", "upsert", str(jane.pk))}
    changes: list[Callable[[], Any]] = [
        lambda: joe.friends.add(jane),
        lambda: jane.friends.remove(joe),
        lambda: joe.friends.set([jane]),
        jane.friends.clear,
    ]
    for change in changes:
        forget()
        change()
        assert set(captured()) == both


def test_links_that_do_not_change_publish_nothing(shop: Shop) -> None:
    shop.first.labels.add(shop.label)
    forget()
    shop.first.labels.add(shop.label)
    assert shop.republished() == set()


def test_a_deleted_far_row_publishes_the_rows_it_was_linked_to(shop: Shop) -> None:
    shop.first.stickers.add(shop.label)
    forget()
    shop.label.delete()
    assert shop.republished() == {"1"}


def test_links_that_have_a_model_of_their_own_publish_the_row(shop: Shop) -> None:
    packing = Packing.objects.create(order=shop.first, parcel=shop.parcel)
    assert shop.republished() == {"1"}
    packing.order = shop.second
    packing.save()
    assert shop.republished() == {"1", "2"}
    shop.parcel.orders.add(shop.first)
    assert "1" in shop.republished()
    packing.delete()
    assert shop.republished() == {"2"}
    shop.first.parcels.clear()
    assert shop.republished() == {"1"}


def test_the_test_projects_cities_are_published_when_their_tags_change() -> None:
    country = Country.objects.create(code="CH", name="Schweiz")
    city = City.objects.create(geoname_id=1, name="Zürich", country=country, latitude=47, longitude=8)
    forget()
    city.tags.add(Tag.objects.create(name="Europe/Zurich"))
    assert captured() == [("cities", "upsert", str(city.pk))]


# --- rows that are shown ----------------------------------------------------------------------------------------------


def test_a_row_that_is_pointed_to_publishes_what_points(shop: Shop) -> None:
    shop.address.save()
    assert shop.republished() == {"1"}
    shop.region.save()
    assert shop.republished() == {"1"}
    Address.objects.create(street="Side")
    assert shop.republished() == set()


def test_a_row_that_points_publishes_both_when_it_is_repointed(shop: Shop) -> None:
    shop.line.text = "b"
    shop.line.save()
    assert shop.republished() == {"1"}
    shop.line.order = shop.second
    shop.line.save()
    assert shop.republished() == {"1", "2"}
    Line.objects.create(order=shop.first, text="c")
    assert shop.republished() == {"1"}


def test_a_deleted_row_publishes_what_showed_it(shop: Shop) -> None:
    shop.line.delete()
    assert shop.republished() == {"1"}
    shop.region.delete()
    assert shop.republished() == {"1"}
    shop.address.delete()
    assert shop.republished() == {"1"}


def test_rows_deleted_by_a_queryset_publish_what_showed_them(shop: Shop) -> None:
    Line.objects.all().delete()
    assert shop.republished() == {"1"}
    Line.objects.create(order=shop.second, text="x")
    forget()
    Line.objects.all()._raw_delete("default")
    assert shop.republished() == {"2"}


def test_an_update_publishes_what_shows_the_rows_before_and_after(shop: Shop) -> None:
    Line.objects.update(text="b")
    assert shop.republished() == {"1"}
    Line.objects.update(order=shop.second)
    assert shop.republished() == {"1", "2"}
    Address.objects.update(street="Long")
    assert shop.republished() == {"1"}
    shop.first.lines.add(shop.line)
    assert shop.republished() == {"1", "2"}


def test_rows_created_in_bulk_publish_what_shows_them(shop: Shop) -> None:
    Line.objects.bulk_create([Line(order=shop.second, text="x")])
    assert shop.republished() == {"2"}
    Line.objects.bulk_create([Line(order=shop.first, text="y")], ignore_conflicts=True)
    assert shop.republished() == {"1"}


def test_rows_moved_by_a_bulk_create_over_conflicts_publish_what_they_leave(shop: Shop) -> None:
    Line.objects.bulk_create(
        [Line(pk=shop.line.pk, order=shop.second, text="a")],
        update_conflicts=True,
        update_fields=["order"],
        unique_fields=["id"] if connection.features.supports_update_conflicts_with_target else None,
    )
    assert shop.republished() == {"1", "2"}


def test_what_shows_a_row_is_found_in_one_statement_and_not_loaded(shop: Shop, django_assert_num_queries: Any) -> None:
    for number in range(20):
        Order.objects.create(number=f"more {number}", address=shop.address)
    forget()
    with django_assert_num_queries(2):
        shop.address.save()
    assert len(shop.republished()) == 21


def test_a_row_that_is_shown_many_times_is_published_once(shop: Shop) -> None:
    for text in "xyz":
        Line.objects.create(order=shop.first, text=text)
    forget()
    Line.objects.filter(text__in=["x", "y", "z"]).delete()
    assert len(captured()) == 1


# --- transactions, echo -----------------------------------------------------------------------------------------------


def test_what_is_rolled_back_leaves_none(shop: Shop) -> None:
    with transaction.atomic():
        shop.first.labels.add(shop.label)
        shop.address.save()
        transaction.set_rollback(True)
    assert captured() == []


@pytest.mark.parametrize("context", [echo.applying("orders", Order), suspend_publishing("orders")])
def test_an_echo_and_a_suspension_leave_none(shop: Shop, context: Any) -> None:
    with context:
        shop.first.labels.add(shop.label)
        shop.label.orders.clear()
        shop.address.save()
        Line.objects.update(text="b")
        shop.line.delete()
    assert captured() == []
