"""What a serializer's shape is, and what is no part of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.schemas import shapes
from logpipe_signals.schemas.shapes import closed, plain, shape_of
from testproject.mirror.serializers import CityCopySerializer
from testproject.places.models import City
from testproject.places.serializers import CitySerializer


class Inner(serializers.Serializer):
    street = serializers.CharField(max_length=50)


class Everything(serializers.Serializer):
    """Words about it."""

    MESSAGE_TYPE = "everything"
    VERSION = 1

    name = serializers.CharField(help_text="Words about it.", label="Name")
    nickname = serializers.CharField(required=False, default="")
    number = serializers.IntegerField(read_only=True)
    secret = serializers.CharField(write_only=True)
    born = serializers.DateField(allow_null=True)
    color = serializers.ChoiceField(choices=["red", "blue"])
    inner = Inner(allow_null=True)
    many = Inner(many=True)
    labels = serializers.DictField(child=serializers.IntegerField())
    anything = serializers.JSONField()
    price = serializers.DecimalField(max_digits=6, decimal_places=2)
    computed = serializers.SerializerMethodField()

    def get_computed(self, instance: Any) -> int:
        return 1


def test_what_is_sent_and_what_is_accepted_are_two_shapes() -> None:
    sent, accepted = (shape_of(Everything, direction).schema["properties"] for direction in ("sent", "accepted"))
    assert sent.keys() - accepted.keys() == {"number", "computed"}
    assert accepted.keys() - sent.keys() == {"secret"}


def test_types_are_those_on_the_wire() -> None:
    properties = shape_of(Everything, "sent").schema["properties"]
    assert properties["name"] == {"type": "string", "minLength": 1}
    assert properties["born"] == {"type": ["string", "null"], "format": "date"}
    assert properties["color"] == {"type": "string", "enum": ["blue", "red"]}
    assert properties["labels"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert properties["anything"] == {}
    assert properties["price"]["type"] == "string"
    assert properties["computed"] == {"type": "integer"}


def test_nested_serializers_stand_in_their_place_without_their_names() -> None:
    properties = shape_of(Everything, "sent").schema["properties"]
    inner = properties["many"]["items"]
    assert inner["properties"] == {"street": {"type": "string", "minLength": 1, "maxLength": 50}}
    assert properties["inner"] == {**inner, "type": ["object", "null"]}


def test_what_is_sent_always_holds_each_field_and_names_those_declared_optional() -> None:
    schema = shape_of(Everything, "sent").schema
    assert schema["required"] == sorted(schema["properties"])
    assert schema["x-optional"] == ["nickname"]
    assert "nickname" not in shape_of(Everything, "accepted").schema["required"]


def test_a_field_that_may_be_left_out_is_not_required_of_what_is_sent() -> None:
    class Loose(serializers.Serializer):
        perhaps = serializers.CharField(required=False)

    assert "required" not in shape_of(Loose, "sent").schema


def test_what_is_sent_has_no_other_members_and_what_is_accepted_may() -> None:
    assert shape_of(Everything, "sent").schema["additionalProperties"] is False
    assert "additionalProperties" not in shape_of(Everything, "accepted").schema


def test_words_about_a_field_are_no_part_of_its_shape() -> None:
    assert "Words" not in str(shape_of(Everything, "sent").schema)


def test_a_field_whose_type_cannot_be_told_takes_anything_and_is_named() -> None:
    shape = shape_of(CityCopySerializer, "accepted")
    assert shape.schema["properties"]["country"] == {}
    assert shape.untold == ("country",)


def test_a_method_without_annotation_is_named_too() -> None:
    class Untold(serializers.Serializer):
        computed = serializers.SerializerMethodField()

        def get_computed(self, instance):  # type: ignore[no-untyped-def]
            return 1

    shape = shape_of(Untold, "sent")
    assert (shape.schema["properties"]["computed"], shape.untold) == ({}, ("computed",))


@pytest.mark.parametrize("limits", [(None, None), (0, 5), (-(2**63), 2**63 - 1)])
def test_an_integer_columns_range_is_the_same_on_every_database(
    limits: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    monkeypatch.setattr(connection.ops, "integer_field_range", lambda internal_type: limits)
    # The column keeps the validators of the database it met first.
    monkeypatch.setitem(City._meta.get_field("population").__dict__, "validators", [])
    assert shape_of(CitySerializer, "sent").schema["properties"]["population"] == expected


def test_a_projects_settings_for_its_api_do_not_change_the_shape(settings: Any) -> None:
    from drf_spectacular.settings import spectacular_settings

    before = shape_of(Everything, "accepted")
    spectacular_settings.apply_patches({"OAS_VERSION": "3.0.3", "COMPONENT_SPLIT_REQUEST": False})
    try:
        assert shape_of(Everything, "accepted") == before
    finally:
        spectacular_settings.clear_patches()


def test_a_pydantic_model_has_both_shapes() -> None:
    class Address(BaseModel):
        street: str

    class PersonModel(BaseModel):
        name: str = Field(min_length=1, description="Words about it.")
        nickname: str = ""
        address: Address | None = None

    accepted, sent = shape_of(PersonModel, "accepted").schema, shape_of(PersonModel, "sent").schema
    assert accepted["required"] == ["name"]
    assert accepted["properties"]["name"] == {"type": "string", "minLength": 1}
    assert accepted["properties"]["address"]["type"] == ["object", "null"]
    assert "additionalProperties" not in accepted
    assert sent["additionalProperties"] is False
    assert "Words" not in str(accepted)


def test_a_pydantic_model_that_forbids_more_says_so() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str

    assert shape_of(Strict, "accepted").schema["additionalProperties"] is False


def test_one_shape_has_one_schema_however_it_is_written() -> None:
    nullable = {"oneOf": [{"type": "string", "title": "A"}, {"type": "null"}]}
    assert plain(nullable) == plain({"nullable": True, "type": "string"}) == {"type": ["string", "null"]}
    assert plain({"const": 1, "x-enum-id": "abc"}) == {"enum": [1]}
    assert plain({"type": "number", "minimum": 1, "exclusiveMinimum": True}) == {
        "type": "number",
        "exclusiveMinimum": 1,
    }
    assert plain({"type": "integer", "format": "int64"}) == {"type": "integer"}


def test_a_field_may_be_named_as_a_keyword_is() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "x-y": {"type": "string"}}}
    assert plain(schema) == schema
    assert closed(schema)["properties"] == schema["properties"]


def test_without_its_packages_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    with pytest.raises(DeclarationError, match=r"pip install 'logpipe_signals\[schema\]'"):
        shapes.load_spectacular()
