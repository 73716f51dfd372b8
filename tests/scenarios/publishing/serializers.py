"""What the scenarios' own models look like on their topics."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tests.scenarios.publishing.models import Account, Book, Meter

POISON = "poison"
"""What no message can be made of."""


class AccountSerializer(serializers.ModelSerializer):
    """An account, keyed by a code that may change."""

    MESSAGE_TYPE = "account"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = Account
        fields = ["id", "code", "note"]


class BookSerializer(serializers.ModelSerializer):
    """A book with everything that it shows, by primary keys."""

    MESSAGE_TYPE = "book"
    VERSION = 1

    shelf_name = serializers.CharField(source="shelf.name", default=None)
    tags = serializers.SerializerMethodField()
    pages = serializers.SerializerMethodField()

    class Meta:
        model = Book
        fields = ["id", "title", "shelf", "shelf_name", "tags", "pages"]

    def get_tags(self, book: Book) -> dict[str, str]:
        return {str(tag.pk): tag.name for tag in book.tags.all()}

    def get_pages(self, book: Book) -> dict[str, str]:
        return {str(page.pk): page.text for page in book.pages.all()}


class MeterSerializer(serializers.ModelSerializer):
    """A meter, unless what it reads is poison."""

    MESSAGE_TYPE = "meter"
    VERSION = 1

    class Meta:
        model = Meter
        fields = ["id", "reading"]

    def to_representation(self, instance: Meter) -> Any:
        if instance.reading.startswith(POISON):
            raise ValueError("Poison cannot be serialised.")
        return super().to_representation(instance)
