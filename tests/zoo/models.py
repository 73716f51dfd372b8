"""Published models of every shape."""
# ruff: noqa: DJ008  (nobody reads their names)

from __future__ import annotations

import uuid

from django.db import models

from logpipe_signals import publishes
from logpipe_signals.managers import PublishingManager
from tests.zoo.fields import TicketField


class Cage(models.Model):
    """Published to nothing; what lives in it is."""

    name = models.CharField(max_length=50)


# --- multi-table inheritance, proxies ---------------------------------------------------------------------------------


@publishes("animals", "tests.zoo.serializers.AnimalSerializer")
class Animal(models.Model):
    """A parent with a table of its own, keyed by a column that is not its primary key."""

    code = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=50, blank=True)
    cage = models.ForeignKey(Cage, null=True, on_delete=models.SET_NULL, related_name="animals")
    keeper = models.ForeignKey("Keeper", null=True, on_delete=models.CASCADE, related_name="animals")

    objects = PublishingManager()


@publishes("dogs", "tests.zoo.serializers.DogSerializer")
class Dog(Animal):
    """A published child of a published parent, keyed by the parent's column."""

    breed = models.CharField(max_length=50, blank=True)


class Puppy(Dog):
    """An unpublished grandchild."""

    weeks = models.IntegerField(default=1)


class Pet(Animal):
    """A proxy of a published model."""

    class Meta:
        proxy = True


class Keeper(models.Model):
    """Published through a proxy only."""

    name = models.CharField(max_length=50)

    objects = PublishingManager()


@publishes("keepers", "tests.zoo.serializers.KeeperSerializer")
class HeadKeeper(Keeper):
    """The proxy that is published."""

    class Meta:
        proxy = True


@publishes("fish", "tests.zoo.serializers.FishSerializer")
class Fish(models.Model):
    """An abstract model declares for its children."""

    name = models.CharField(max_length=50)

    objects = PublishingManager()

    class Meta:
        abstract = True


class Carp(Fish):
    """Published by its abstract parent."""


class Koi(Carp):
    """A multi-table child of it: its own rows are not declared, its parent's are."""

    colour = models.CharField(max_length=50, default="red")


# --- primary keys -----------------------------------------------------------------------------------------------------


@publishes("uuids", "tests.zoo.serializers.UuidSerializer")
class UuidKeyed(models.Model):
    """A UUID as primary key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, blank=True)

    objects = PublishingManager()


@publishes("texts", "tests.zoo.serializers.TextSerializer")
class TextKeyed(models.Model):
    """A text as primary key."""

    word = models.CharField(primary_key=True, max_length=200)

    objects = PublishingManager()


@publishes("tickets", "tests.zoo.serializers.TicketSerializer")
class TicketKeyed(models.Model):
    """A primary key whose Python value is not its database value."""

    number = TicketField(primary_key=True)
    name = models.CharField(max_length=50, blank=True)

    objects = PublishingManager()


@publishes("passports", "tests.zoo.serializers.PassportSerializer")
class Passport(models.Model):
    """A foreign key as primary key."""

    owner = models.OneToOneField(UuidKeyed, primary_key=True, on_delete=models.CASCADE)

    objects = PublishingManager()


@publishes("seats", "tests.zoo.serializers.SeatSerializer")
class Seat(models.Model):
    """A composite primary key, one part a foreign key."""

    pk = models.CompositePrimaryKey("show", "number")
    show = models.ForeignKey(TextKeyed, on_delete=models.CASCADE)
    number = models.IntegerField()
    taken = models.BooleanField(default=False)

    objects = PublishingManager()


# --- publications -----------------------------------------------------------------------------------------------------


@publishes("visits", "tests.zoo.serializers.VisitV1Serializer")
@publishes("visits", "tests.zoo.serializers.VisitV2Serializer")
@publishes("visit_audit", "tests.zoo.serializers.VisitV1Serializer", delete="ignore")
class Visit(models.Model):
    """Two versions on one topic, and another topic."""

    guest = models.CharField(max_length=50)

    objects = PublishingManager()


@publishes("broken", "tests.zoo.serializers.BrokenSerializer")
class Broken(models.Model):
    """Its serializer raises where the key is wanted."""

    name = models.CharField(max_length=50)

    objects = PublishingManager()


# --- options ----------------------------------------------------------------------------------------------------------


@publishes("keyed_by_word", "tests.zoo.serializers.KeyedV1Serializer")
@publishes("keyed_by_word", "tests.zoo.serializers.KeyedV2Serializer")
@publishes("keyed_by_number", "tests.zoo.serializers.NumberedSerializer")
class Keyed(models.Model):
    """Keys that may change: a text in two versions, and a number."""

    word = models.CharField(max_length=200)
    number = models.IntegerField(default=0)

    objects = PublishingManager()


@publishes("watched", "tests.zoo.serializers.WatchedSerializer", watch=["email", "price"])
class Watched(models.Model):
    """Published when one of two fields changes."""

    email = models.CharField(max_length=50)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    note = models.CharField(max_length=50, blank=True)

    objects = PublishingManager()


# --- relations --------------------------------------------------------------------------------------------------------


class Region(models.Model):
    """Shown two steps away."""

    name = models.CharField(max_length=50)

    objects = PublishingManager()


class Address(models.Model):
    """Shown by what points to it."""

    street = models.CharField(max_length=50)
    region = models.ForeignKey(Region, null=True, on_delete=models.SET_NULL)

    objects = PublishingManager()


class Label(models.Model):
    """Shown by what it is linked to; its links count even where its rows do not."""

    name = models.CharField(max_length=50)

    objects = PublishingManager()


@publishes(
    "orders",
    "tests.zoo.serializers.OrderSerializer",
    related=["address", "address__region", "lines", "labels", "parcels"],
)
class Order(models.Model):
    """Shows an address, its lines, labels, and parcels by way of a model in between."""

    number = models.CharField(max_length=50)
    address = models.ForeignKey(Address, null=True, on_delete=models.SET_NULL)
    labels = models.ManyToManyField(Label, related_name="orders")
    stickers = models.ManyToManyField(Label, related_name="stuck_to")

    objects = PublishingManager()


class Line(models.Model):
    """Points to the order that shows it."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    text = models.CharField(max_length=50)

    objects = PublishingManager()


@publishes("friends", "tests.zoo.serializers.FriendSerializer")
class Friend(models.Model):
    """Linked to its like, from both sides."""

    name = models.CharField(max_length=50)
    friends = models.ManyToManyField("self")

    objects = PublishingManager()


class Parcel(models.Model):
    """Linked to orders by a model of its own."""

    name = models.CharField(max_length=50)
    orders = models.ManyToManyField(Order, through="Packing", related_name="parcels")

    objects = PublishingManager()


class Packing(models.Model):
    """The link of an order and a parcel."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="packings")
    parcel = models.ForeignKey(Parcel, on_delete=models.CASCADE)

    objects = PublishingManager()


# --- triggers ---------------------------------------------------------------------------------------------------------


@publishes("ledger", "tests.zoo.serializers.EntryV1Serializer", capture="triggers")
@publishes("ledger", "tests.zoo.serializers.EntryV2Serializer", capture="triggers")
@publishes("ledger_watch", "tests.zoo.serializers.EntryV1Serializer", capture="triggers", watch=["amount"])
@publishes("ledger_lines", "tests.zoo.serializers.EntryV1Serializer", capture="triggers", delete="ignore")
class Entry(models.Model):
    """Captured by triggers on PostgreSQL, by signals elsewhere."""

    code = models.CharField(max_length=50, unique=True)
    amount = models.IntegerField(default=0)
    note = models.CharField(max_length=50, blank=True)
    total_of = models.ForeignKey("self", null=True, on_delete=models.CASCADE)

    objects = PublishingManager()


class Paper(models.Model):
    """Somebody else's model, published by a proxy."""

    title = models.CharField(max_length=50)

    objects = PublishingManager()


@publishes("papers", "tests.zoo.serializers.PaperSerializer", capture="triggers")
class PublishedPaper(Paper):
    """The proxy whose app carries the triggers."""

    class Meta:
        proxy = True
