"""Bulk apply: the same rows in a handful of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from django.db import connections, models
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from logpipe_signals import Consumer
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.envelope import Meta
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import DeadLetter
from testproject.mirror.models import CityCopy, CountryCopy, PersonCopy
from testproject.mirror.serializers import CityCopySerializer, CountryCopySerializer, PersonCopySerializer
from tests.unit.consuming.conftest import names, person, put_message
from tests.zoo.models import Address, Region

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class ByRows(PersonCopySerializer):
    """Opts in by finding the rows itself."""

    @classmethod
    def lookup_instances(cls, messages: Sequence[Mapping[str, Any]]) -> list[PersonCopy | None]:
        rows = {str(row.uuid): row for row in PersonCopy.objects.filter(uuid__in=[m["uuid"] for m in messages])}
        return [rows.get(message["uuid"]) for message in messages]


def run(cls: type = PersonCopySerializer, *, batch_size: int = 1000, **options: Any) -> Tally:
    consumer = Consumer("people", consumer_timeout_ms=10, **({"bulk": True} | options))
    consumer.register(cls)
    loop_options = LoopOptions(end_when_idle=True, batch_size=batch_size)
    loop = Loop(consumer._feed, {"people": consumer.routes}, loop_options, stop=Stop())
    loop._pace._size = batch_size
    return loop.run()


def reasons() -> list[str]:
    return list(DeadLetter.objects.using("subscriber").values_list("reason", flat=True))


@pytest.fixture(params=[PersonCopySerializer, ByRows], ids=["lookup field", "lookup_instances"])
def cls(request: pytest.FixtureRequest) -> type:
    """Opt in, in both ways."""
    return request.param


def test_rows_are_created_updated_and_deleted(cls: type):
    for number in range(3):
        put_message(person(number, f"first {number}"))
    run(cls)
    put_message(person(1, "second 1"))
    put_message({"uuid": person(2)["uuid"]}, kind="person.deleted")
    put_message(person(3, "new 3"))
    assert run(cls).applied == 3
    assert names() == ["first 0", "second 1", "new 3"]


def test_the_last_record_of_a_row_wins(cls: type):
    for name in ("a", "b", "c"):
        put_message(person(1, name))
    assert run(cls).applied == 3
    assert names() == ["c"]


def test_a_row_that_is_deleted_and_made_again_in_one_batch_is_there(cls: type):
    put_message(person(1, "old"))
    put_message({"uuid": person(1)["uuid"]}, kind="person.deleted")
    put_message(person(1, "new"))
    put_message(person(2, "gone"))
    put_message({"uuid": person(2)["uuid"]}, kind="person.deleted")
    run(cls)
    assert names() == ["new"]


def test_invalid_records_are_dead_letters_and_the_rest_is_applied(cls: type):
    put_message(person(1, "a"))
    put_message(person(2, "b", email="no address"))
    put_message(person(3, "c"))
    assert run(cls) == Tally(handled=3, applied=2, failed=1)
    assert (names(), reasons()) == (["a", "c"], ["ValidationError"])


def test_an_invalid_last_record_leaves_the_one_before_it(cls: type):
    put_message(person(1, "valid"))
    put_message(person(1, "invalid", email="no address"))
    run(cls)
    assert names() == ["valid"]


def test_a_row_that_the_database_refuses_costs_itself_alone():
    class Unchecked(PersonCopySerializer):
        first_name = serializers.CharField(allow_null=True)

    for number, name in enumerate(["a", None, "c"]):
        put_message(person(number, name))  # type: ignore[arg-type]
    assert run(Unchecked) == Tally(handled=3, applied=2, failed=1)
    assert reasons() == ["IntegrityError"]


@pytest.mark.parametrize("records", [1, 100])
@pytest.mark.parametrize("guarded", [False, True])
def test_a_batch_of_upserts_costs_two_statements_and_the_guard_at_most_two_more(records: int, guarded: bool):
    put_message(person(0))
    run()
    for number in range(records):
        meta = Meta(identity=f"person:{number}", source="a", sequence=1) if guarded else None
        put_message(person(number, "new"), meta=meta)
    statements = captured_statements()
    own = [s for s in statements if "applied" not in s and "audit" not in s]
    assert [s.partition(" ")[0] for s in own] == ["UPDATE", "SELECT", "INSERT"]
    assert len([s for s in statements if "audit" in s]) == 1, "once, when the position was read"
    assert "audit" in statements[0], "with the position, and not by a batch"
    assert len([s for s in statements if "applied" in s]) <= (2 if guarded else 0)
    assert PersonCopy.objects.filter(first_name="new").count() == records


class AddressCopySerializer(serializers.ModelSerializer):
    """A row that points to another one."""

    MESSAGE_TYPE = "address"
    VERSION = 1
    KEY_FIELD = "id"
    id = serializers.IntegerField()
    region = serializers.PrimaryKeyRelatedField(queryset=Region.objects.all())

    class Meta:
        model = Address
        fields = ["id", "street", "region"]


@pytest.mark.parametrize("records", [1, 100])
def test_a_relation_costs_a_batch_one_statement_more(records: int):
    regions = [Region.objects.create(name=f"{number}") for number in range(records)]
    for number, region in enumerate(regions, start=1):
        put_message({"id": number, "street": "High Street", "region": region.pk}, kind="address")
    with CaptureQueriesContext(connections["default"]) as captured:
        run(AddressCopySerializer)
    rows = [query["sql"] for query in captured if "zoo_address" in query["sql"] or "zoo_region" in query["sql"]]
    assert [sql.partition(" ")[0] for sql in rows if "zoo_region" in sql] == ["SELECT"]
    assert len([sql for sql in rows if "zoo_address" in sql]) <= 2
    assert Address.objects.filter(region__isnull=False).count() == records


def captured_statements(cls: type = PersonCopySerializer) -> list[str]:
    with CaptureQueriesContext(connections["subscriber"]) as captured:
        run(cls)
    control = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    statements = [query["sql"] for query in captured if not query["sql"].startswith(control)]
    return statements[1:]  # the position is read once, when the consumer starts


def test_deletes_of_a_batch_cost_one_statement():
    for number in range(20):
        put_message(person(number))
    run()
    for number in range(20):
        put_message({"uuid": person(number)["uuid"]}, kind="person.deleted")
    statements = captured_statements()
    assert len([s for s in statements if s.startswith("DELETE")]) == 1
    assert len(statements) <= 5


def test_a_serializer_of_fewer_columns_keeps_the_others():
    class NamesOnly(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            fields = ["uuid", "first_name"]

    PersonCopy.objects.create(uuid=person(1)["uuid"], first_name="old", last_name="kept", email="a@b.cd")
    put_message(person(1, "new"))
    run(NamesOnly)
    assert PersonCopy.objects.values_list("first_name", "last_name", "email").get() == ("new", "kept", "a@b.cd")


def test_a_row_lends_the_columns_that_a_message_lacks():
    class NameOnly(CityCopySerializer):
        class Meta(CityCopySerializer.Meta):
            fields = ["geoname_id", "name"]

        country = tags = None  # type: ignore[assignment]

    CityCopy.objects.create(geoname_id=1, name="old", country_code="FR", latitude=1.5, longitude=2.5, tags=["kept"])
    put_message({"geoname_id": 1, "name": "new"}, kind="city")
    assert run(NameOnly).applied == 1
    assert CityCopy.objects.values_list("name", "latitude", "tags").get() == ("new", 1.5, ["kept"])


def test_the_primary_key_can_be_the_lookup():
    for name in ("France", "République française"):
        put_message({"code": "FR", "name": name, "capital": "Paris"}, kind="country")
        run(CountryCopySerializer)
    assert CountryCopy.objects.get().name == "République française"


def test_another_unique_field_is_checked_for_all_at_once():
    class UniqueName(PersonCopySerializer):
        first_name = serializers.CharField(validators=[UniqueValidator(PersonCopy.objects.all(), message="taken")])

    PersonCopy.objects.create(uuid=person(9)["uuid"], first_name="taken", last_name="")
    for number, name in enumerate(["a", "taken", "b", "b"]):
        put_message(person(number, name))
    assert run(UniqueName) == Tally(handled=4, applied=2, failed=2)
    assert names() == ["a", "b", "taken"]


def test_what_cannot_be_applied_in_bulk_says_why():
    class Nested(serializers.ModelSerializer):
        MESSAGE_TYPE = "person"
        VERSION = 1
        KEY_FIELD = "uuid"
        friend = PersonCopySerializer()

        class Meta:
            model = PersonCopy
            fields = ["uuid", "friend"]

    with pytest.raises(DeclarationError, match=r"Nested cannot be applied in bulk: its field 'friend' is no column"):
        run(Nested)


def test_validate_runs_and_sees_its_message():
    class Validating(PersonCopySerializer):
        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            return {**attrs, "last_name": f"of {self.initial_data['first_name']}"}

    put_message(person(1, "Joe"))
    run(Validating)
    assert PersonCopy.objects.get().last_name == "of Joe"


def test_signals_and_save_are_skipped():
    saved: list[Any] = []

    def note(instance: Any, **_: Any) -> None:
        saved.append(instance)

    models.signals.post_save.connect(note, sender=PersonCopy)
    try:
        put_message(person(1))
        run()
    finally:
        models.signals.post_save.disconnect(note, sender=PersonCopy)
    assert (saved, names()) == ([], ["Joe"])


def test_the_test_projects_cities_are_applied_in_bulk():
    city = {"geoname_id": 1, "name": "Zürich", "country": {"code": "CH", "name": "Switzerland"}, "population": 3}
    put_message({**city, "latitude": 47.4, "longitude": 8.5, "tags": ["Europe/Zurich"]}, kind="city")
    assert run(CityCopySerializer).applied == 1
    assert CityCopy.objects.values_list("name", "country_code", "tags").get() == ("Zürich", "CH", ["Europe/Zurich"])
