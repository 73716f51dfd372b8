"""What the zoo looks like on its topics."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tests.zoo import models


class AnimalSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "animal"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = models.Animal
        fields = ["code", "name"]


class DogSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "dog"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = models.Dog
        fields = ["code", "name", "breed"]


class KeeperSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "keeper"
    VERSION = 1

    class Meta:
        model = models.HeadKeeper
        fields = ["id", "name"]


class FishSerializer(serializers.Serializer):
    MESSAGE_TYPE = "fish"
    VERSION = 1

    id = serializers.IntegerField()
    name = serializers.CharField()


class UuidSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "uuid"
    VERSION = 1
    KEY_FIELD = "id"

    class Meta:
        model = models.UuidKeyed
        fields = ["id", "name"]


class TextSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "text"
    VERSION = 1

    class Meta:
        model = models.TextKeyed
        fields = ["word"]


class TicketSerializer(serializers.Serializer):
    MESSAGE_TYPE = "ticket"
    VERSION = 1
    KEY_FIELD = "number"

    number = serializers.CharField()
    name = serializers.CharField()


class PassportSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "passport"
    VERSION = 1
    KEY_FIELD = "owner"

    class Meta:
        model = models.Passport
        fields = ["owner"]


class SeatSerializer(serializers.Serializer):
    MESSAGE_TYPE = "seat"
    VERSION = 1

    show = serializers.CharField(source="show_id")
    number = serializers.IntegerField()
    taken = serializers.BooleanField()

    @classmethod
    def lookup_instance(cls, show: str, number: int, **kwargs: Any) -> models.Seat | None:
        return models.Seat.objects.filter(pk=(show, number)).first()


class VisitV1Serializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "visit"
    VERSION = 1

    class Meta:
        model = models.Visit
        fields = ["id", "guest"]


class VisitV2Serializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "visit"
    VERSION = 2

    visitor = serializers.CharField(source="guest")

    class Meta:
        model = models.Visit
        fields = ["id", "visitor"]


class BrokenSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "broken"
    VERSION = 1
    KEY_FIELD = "label"

    label = serializers.SerializerMethodField()

    class Meta:
        model = models.Broken
        fields = ["label"]

    def get_label(self, broken: models.Broken) -> str:
        raise ValueError(f"{broken.name} has no label")


class KeyedV1Serializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "keyed"
    VERSION = 1
    KEY_FIELD = "word"

    class Meta:
        model = models.Keyed
        fields = ["word"]


class KeyedV2Serializer(KeyedV1Serializer):
    VERSION = 2


class NumberedSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "numbered"
    VERSION = 1
    KEY_FIELD = "number"

    class Meta:
        model = models.Keyed
        fields = ["number"]


class WatchedSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "watched"
    VERSION = 1

    class Meta:
        model = models.Watched
        fields = ["id", "email", "price"]


class OrderSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "order"
    VERSION = 1

    lines = serializers.SlugRelatedField(slug_field="text", many=True, read_only=True)
    street = serializers.CharField(source="address.street", default=None)
    region = serializers.CharField(source="address.region.name", default=None)
    label_names = serializers.SlugRelatedField(source="labels", slug_field="name", many=True, read_only=True)

    class Meta:
        model = models.Order
        fields = ["id", "number", "address", "lines", "labels", "stickers", "street", "region", "label_names"]


class FriendSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "friend"
    VERSION = 1

    class Meta:
        model = models.Friend
        fields = ["id", "name", "friends"]


class EntryV1Serializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "entry"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = models.Entry
        fields = ["id", "code", "amount"]

    @classmethod
    def lookup_instance(cls, code: str, id: int, **kwargs: Any) -> models.Entry | None:  # noqa: A002
        return models.Entry.objects.filter(code=code).first()


class EntryV2Serializer(EntryV1Serializer):
    VERSION = 2


class PaperSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "paper"
    VERSION = 1

    class Meta:
        model = models.PublishedPaper
        fields = ["id", "title"]
