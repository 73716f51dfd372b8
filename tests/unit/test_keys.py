"""Primary keys and keys as text: there and back, and the same lane in Python and in SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import F, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logpipe_signals.keys import decode_pk, encode_pk, lane_of, pk_text
from logpipe_signals.models.expressions import LaneOf
from testproject.people.models import Person
from tests.zoo.models import Animal, Dog, Passport, Seat, TextKeyed, TicketKeyed, UuidKeyed

pytestmark = pytest.mark.django_db
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=60)
SHOW = TextKeyed(word='a "b" / ü')


@pytest.mark.parametrize(
    "instance",
    [
        Person(pk=2**62),
        UuidKeyed(pk=uuid.UUID(int=7)),
        TextKeyed(pk='["a", "b"]'),
        TextKeyed(pk='"quoted"'),
        TextKeyed(pk=""),
        TicketKeyed(pk="T-7"),
        Passport(owner_id=uuid.UUID(int=7)),
        Seat(show=SHOW, number=3),
        Dog(pk=5),
    ],
    ids=lambda instance: f"{type(instance).__name__} {instance.pk}",
)
def test_a_primary_key_survives_the_outbox(instance: models.Model) -> None:
    assert decode_pk(type(instance), encode_pk(instance)) == instance.pk


def test_a_childs_primary_key_can_be_asked_of_its_parent() -> None:
    assert encode_pk(Dog(pk=5, id=5), "default", Animal) == "5"


def test_the_text_is_that_of_the_column() -> None:
    instance = UuidKeyed.objects.create()
    TicketKeyed.objects.create(number="T-7")
    with connection.cursor() as cursor:
        cursor.execute("SELECT CAST(id AS CHAR(36)) FROM zoo_uuidkeyed")
        assert cursor.fetchone()[0] == encode_pk(instance)
        cursor.execute("SELECT number FROM zoo_ticketkeyed")
        assert str(cursor.fetchone()[0]) == encode_pk(TicketKeyed(number="T-7"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (models.BooleanField(), True),
        (models.BooleanField(), False),
        (models.DateField(), dt.date(2024, 2, 29)),
        (models.DateTimeField(), dt.datetime(2024, 2, 29, 12, 30, 1, 123456, tzinfo=dt.UTC)),
        (models.DecimalField(max_digits=20, decimal_places=5), Decimal("12345678901.00010")),
        (models.FloatField(), 0.1 + 0.2),
        (models.BinaryField(), b"\x00\xff"),
        (models.TimeField(), dt.time(1, 2, 3, 456)),
    ],
    ids=str,
)
def test_other_fields_survive_as_parts_of_a_key(field: Any, value: Any) -> None:
    from logpipe_signals.keys import _model_value, database_text

    field.set_attributes_from_name("part")
    assert _model_value(field, database_text(field, value, "default"), "default") == value


@many
@given(word=words, number=st.integers(-(2**31), 2**31 - 1))
def test_any_composite_primary_key_survives(word: str, number: int) -> None:
    seat = Seat(show_id=word, number=number)
    assert decode_pk(Seat, encode_pk(seat)) == (word, number)


@many
@given(word=words)
def test_any_text_survives(word: str) -> None:
    assert decode_pk(TextKeyed, encode_pk(TextKeyed(word=word))) == word


@many
@given(topic=words, key=words, lanes=st.integers(1, 1024))
def test_a_key_has_the_same_lane_in_python_and_in_sql(topic: str, key: str, lanes: int) -> None:
    in_sql = LaneOf(topic, Value(key, output_field=models.TextField()), lanes)
    TextKeyed.objects.get_or_create(word="one row")
    assert TextKeyed.objects.values_list(in_sql, flat=True)[0] == lane_of(topic, key, lanes)


def test_a_columns_lane_is_that_of_its_text() -> None:
    Person.objects.create(first_name="Joé", last_name="Schmoe")
    assert Person.objects.values_list(LaneOf("people", F("first_name"), 64), flat=True)[0] == lane_of(
        "people", "Joé", 64
    )
    pk, lane = Person.objects.values_list("pk", LaneOf("people", F("pk"), 64))[0]
    assert lane == lane_of("people", str(pk), 64)


def test_the_wire_has_one_text_on_every_database() -> None:
    pk = uuid.UUID(int=7)
    assert pk_text(UuidKeyed, pk) == "00000000-0000-0000-0000-000000000007"
    assert pk_text(Seat, ("Carmen", 3)) == '["Carmen", "3"]'
