"""How the subscriber reads people, countries and cities into tables of its own."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from testproject.mirror.models import CityCopy, CountryCopy, PersonCopy

AS_SENT = {"trim_whitespace": False}
"""DRF's CharField takes blanks off both ends, which would make a copy differ from its original."""


class PersonCopySerializer(serializers.ModelSerializer):
    """A person, found again by uuid; saved one by one, so that `save()` and signals run."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"
    SENSITIVE_FIELDS = ["email"]

    class Meta:
        model = PersonCopy
        fields = ["uuid", "first_name", "last_name", "email"]
        extra_kwargs = {"first_name": AS_SENT, "last_name": AS_SENT}

    @classmethod
    def lookup_instance(cls, uuid: str, **kwargs: Any) -> PersonCopy | None:
        """Return the copy that is there already."""
        return PersonCopy.objects.filter(uuid=uuid).first()


class CountryCopySerializer(serializers.ModelSerializer):
    """A country, found again by its code."""

    MESSAGE_TYPE = "country"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = CountryCopy
        fields = ["code", "name", "capital"]
        extra_kwargs = {"name": AS_SENT, "capital": AS_SENT}

    @classmethod
    def lookup_instance(cls, code: str, **kwargs: Any) -> CountryCopy | None:
        """Return the copy that is there already."""
        return CountryCopy.objects.filter(code=code).first()


class CountryCodeField(serializers.Field):
    """Takes the code out of the nested country."""

    default_error_messages = {"invalid": "A country is an object with a code."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, dict) or not isinstance(data.get("code"), str):
            self.fail("invalid")
        return str(data["code"])

    def to_representation(self, value: str) -> dict[str, str]:
        return {"code": value}


class CityCopySerializer(serializers.ModelSerializer):
    """A city, made flat: the nested country's code, the tags as a list."""

    MESSAGE_TYPE = "city"
    VERSION = 1
    KEY_FIELD = "geoname_id"

    country = CountryCodeField(source="country_code")
    tags = serializers.ListField(child=serializers.CharField(trim_whitespace=False))

    class Meta:
        model = CityCopy
        fields = ["geoname_id", "name", "country", "population", "latitude", "longitude", "tags"]
        extra_kwargs = {"name": AS_SENT}

    @classmethod
    def lookup_instance(cls, geoname_id: int, **kwargs: Any) -> CityCopy | None:
        """Return the copy that is there already."""
        return CityCopy.objects.filter(geoname_id=geoname_id).first()
