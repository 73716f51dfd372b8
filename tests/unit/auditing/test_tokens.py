"""Tokens: alike when values are, other when they are not, however a subscriber's serializer shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rest_framework import serializers

from logpipe_signals.auditing.paths import paths_of, tokens_of
from logpipe_signals.auditing.tokens import ABSENT, MISSING, checksum, key_hash, plain, same, token
from logpipe_signals.consuming.audits.own_rows import _loosely

texts = st.text(max_size=12)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@given(value=values)
def test_a_value_has_one_token_whatever_order_its_objects_are_written_in(value: Any) -> None:
    assert token(json.loads(json.dumps(value, sort_keys=True))) == token(value)


def exactly(value: Any) -> Any:
    """Return a value as JSON knows it: 1.0 is 1, but true is not."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, dict):
        return {name: exactly(each) for name, each in value.items()}
    return [exactly(each) for each in value] if isinstance(value, list) else Decimal(repr(value))


@given(one=values, other=values)
def test_values_that_differ_have_other_tokens(one: Any, other: Any) -> None:
    assume(exactly(one) != exactly(other))
    assert token(one) != token(other)


@given(one=texts, other=texts)
def test_a_text_column_sees_every_change_of_a_text(one: str, other: str) -> None:
    assume(one != other)
    assert not same(token(one), token(other), "")


@pytest.mark.parametrize(
    ("sent", "shown", "loosely"),
    [
        ("1.50", "1.500", "n"),
        ("1.5", 1.5, "n"),
        (5, "5", ""),
        (" Joe ", "Joe", "t"),
        ("2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "d"),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "d"),
        ([3, 1, 2], [1, 2, 3], "s"),
        (5.0, 5, ""),
        (-0.0, 0, ""),
    ],
)
def test_what_a_field_writes_otherwise_is_the_same_to_it(sent: Any, shown: Any, loosely: str) -> None:
    assert same(token(sent), token(shown), loosely)


@pytest.mark.parametrize(
    ("sent", "shown", "loosely"),
    [
        ("1.10", "1.1", "t"),
        (" Joe ", "Joe", ""),
        ("007", "7", "tnds"),
        ([3, 1, 2], [1, 2, 3], ""),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00+01:00", "d"),
        (None, "", "tnds"),
        (None, 0, "tnds"),
        (True, 1, "tnds"),
        ([1, 1, 2], [1, 2, 2], "s"),
    ],
)
def test_what_means_something_else_is_different(sent: Any, shown: Any, loosely: str) -> None:
    assert not same(token(sent), token(shown), loosely)


moments = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001
FIELDS = {
    "char": (serializers.CharField(allow_blank=True), texts.filter(lambda text: "\x00" not in text)),
    "float": (serializers.FloatField(), st.floats(allow_nan=False, allow_infinity=False)),
    "integer": (serializers.IntegerField(), st.integers(-(2**63), 2**63)),
    "decimal": (
        serializers.DecimalField(max_digits=12, decimal_places=5),
        st.decimals(-99999, 99999, places=2).map(str),
    ),
    "moment": (
        serializers.DateTimeField(default_timezone=timezone(timedelta(hours=5, minutes=30))),
        moments.map(lambda moment: moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")),
    ),
    "json": (serializers.JSONField(), values.filter(lambda value: value is not None)),
    "boolean": (serializers.BooleanField(), st.booleans()),
    "uuid": (serializers.UUIDField(), st.uuids().map(str)),
    "list": (serializers.ListField(child=serializers.IntegerField()), st.lists(st.integers(0, 9), max_size=4)),
}


@pytest.mark.parametrize("sent", [" 5 ", "5\r", "\t1.50", " 2026-11-23T10:00:00Z "])
def test_blanks_around_a_text_that_reads_as_a_number_or_a_moment_are_taken_off_too(sent: str) -> None:
    assert same(token(sent), token(sent.strip()), "t")
    assert not same(token(sent), token(sent.strip()), "")
    assert key_hash([sent]) == key_hash([sent.strip()])


def test_blanks_hide_no_other_writing() -> None:
    assert not same(token(" 1.50 "), token("1.5"), "t")
    assert same(token(" 1.50 "), token("1.5"), "tn")
    assert not same(token(" Joe"), token("Joe "), "")


@pytest.mark.parametrize("kind", FIELDS)
@given(data=st.data())
def test_what_comes_back_from_a_field_is_the_same_as_was_sent(kind: str, data: st.DataObject) -> None:
    field, drawn = FIELDS[kind]
    sent = data.draw(drawn)
    try:
        kept = field.run_validation(sent)
    except serializers.ValidationError:
        assume(False)
    shown = plain({"value": field.to_representation(kept)})["value"]
    assert same(token(sent), token(shown), _loosely(field))


@given(values_=st.lists(texts | st.integers() | st.none(), min_size=1, max_size=3), other=texts)
def test_the_hash_of_a_key_goes_by_all_its_values(values_: list[Any], other: str) -> None:
    assert key_hash(values_) == key_hash(json.loads(json.dumps(values_)))
    assert key_hash(values_) != key_hash([*values_, other])
    assert -(2**63) <= key_hash(values_) < 2**63


def test_the_checksum_of_a_range_goes_by_the_order_of_its_rows() -> None:
    assert checksum(["a", "b"]) != checksum(["b", "a"])


class Country(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()


class City(serializers.Serializer):
    name = serializers.CharField()
    secret = serializers.CharField(write_only=True)
    country = Country()
    tags = Country(many=True)


def test_the_members_of_a_nested_object_are_told_one_by_one() -> None:
    assert paths_of(City()) == [("name",), ("country", "code"), ("country", "name"), ("tags",)]


def test_a_nested_object_that_is_null_differs_from_one_that_is_there() -> None:
    paths = paths_of(City())
    there = tokens_of({"name": "Bonn", "country": {"code": "DE"}, "tags": []}, paths)
    null = tokens_of({"name": "Bonn", "country": None, "tags": []}, paths)
    assert null[1:3] == [ABSENT, ABSENT]
    assert there[2] == MISSING
    assert not same(null[1], there[1], "tnds")
    assert same(null[2], there[2], ""), "a member that one side does not have is not compared"
