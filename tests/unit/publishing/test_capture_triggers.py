"""Triggers capture every write of a table, with the rows that signals would have left, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logpipe_signals import echo
from logpipe_signals.checks import check_publications
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.publishing import outbox, triggers
from logpipe_signals.publishing.suspend import suspend_publishing
from logpipe_signals.registry import publications, publishes
from testproject.people.models import Person
from tests.unit.publishing.outbox_rows import forget, topics
from tests.zoo.models import Animal, Dog, Entry, PublishedPaper, Seat
from tests.zoo.serializers import DogSerializer, EntryV1Serializer, SeatSerializer

pytestmark = [pytest.mark.usefixtures("no_relay")]
on_postgresql = [pytest.mark.postgres, pytest.mark.django_db(databases=["default", "subscriber"])]


def rows(topic: str = "ledger") -> list[tuple[str, str, str, int, Any]]:
    """Return what a topic's rows hold, sorted."""
    found = OutboxRow.objects.filter(publication__endswith=f":{topic}")
    return sorted(
        (str(r.operation), r.object_id, r.key, r.lane, json.loads(bytes(r.payload)) if r.payload else None)
        for r in found
    )


def operations(topic: str = "ledger") -> list[tuple[str, str]]:
    return sorted((operation, key) for operation, _, key, _, _ in rows(topic))


class TestOnPostgresql:
    pytestmark = on_postgresql

    @pytest.fixture(autouse=True)
    def _lanes(self) -> None:
        outbox.lane_count("default")

    def test_a_row_is_what_signals_would_have_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = Entry.objects.create(code="a 'b' \"c\" \\ é")
        entry.code = "new"
        entry.save()
        pk = entry.pk
        entry.delete()
        by_trigger = rows()
        forget()
        import pgtrigger

        monkeypatch.setattr(triggers, "serve", lambda publication, using: False)
        with pgtrigger.ignore():
            entry = Entry(pk=pk, code="a 'b' \"c\" \\ é")
            entry.save(force_insert=True)
            entry.code = "new"
            entry.save()
            entry.delete()
        assert [operation for operation, *_ in by_trigger] == ["delete", "retract", "upsert", "upsert"]
        assert rows() == by_trigger

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(code=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=50))
    def test_lane_and_payload_are_pythons_whatever_the_key(self, code: str) -> None:
        entry = Entry.objects.create(code=code)
        pk = entry.pk
        entry.delete()
        lane = outbox.lane_of("ledger", code or str(pk), Source.objects.get().lanes)
        member = {"code": code, "id": pk}
        payload = {"entry/1": member, "entry/2": member}
        assert rows() == [("delete", str(pk), code, lane, payload), ("upsert", str(pk), code, lane, None)]
        forget()

    def test_saves_cost_no_statement(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            entry = Entry.objects.create(code="a")
        entry.code = "b"
        with django_assert_num_queries(1):
            entry.save()
        with django_assert_num_queries(1):
            Entry.objects.bulk_create([Entry(code="c"), Entry(code="d")])
        with django_assert_num_queries(1):
            Entry.objects.update(note="x")

    def test_set_wise_writes_are_captured_once(self) -> None:
        Entry.objects.bulk_create([Entry(code="a"), Entry(code="b")])
        assert operations() == [("upsert", "a"), ("upsert", "b")]
        forget()
        Entry.objects.update(note="x")
        assert operations() == [("upsert", "a"), ("upsert", "b")]
        forget()
        Entry.objects.update(code=Concat(F("code"), Value("!")))
        assert operations() == [("retract", "a"), ("retract", "b"), ("upsert", "a!"), ("upsert", "b!")]
        forget()
        Entry.objects.all().delete()
        assert operations() == [("delete", "a!"), ("delete", "b!")]

    def test_raw_sql_is_captured(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO zoo_entry (code, amount, note) VALUES ('a', 1, ''), ('b', 1, '')")
            cursor.execute("UPDATE zoo_entry SET amount = 2 WHERE code = 'b'")
            cursor.execute("DELETE FROM zoo_entry WHERE code = 'a'")
        assert operations() == [("delete", "a"), ("upsert", "a"), ("upsert", "b"), ("upsert", "b")]

    def test_a_changed_primary_key_deletes_the_old_row(self) -> None:
        entry = Entry.objects.create(code="a")
        forget()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE zoo_entry SET id = id + 1000")
        assert [(operation, object_id) for operation, object_id, *_ in rows()] == [
            ("delete", str(entry.pk)),
            ("upsert", str(entry.pk + 1000)),
        ]

    def test_truncate_deletes_every_row(self) -> None:
        Entry.objects.bulk_create([Entry(code="a"), Entry(code="b")])
        forget()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("TRUNCATE zoo_entry")
        assert operations() == [("delete", "a"), ("delete", "b")]

    def test_a_cascade_of_the_database_is_captured(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE zoo_entry ADD FOREIGN KEY (total_of_id) REFERENCES zoo_entry ON DELETE CASCADE")
            total = Entry.objects.create(code="total")
            Entry.objects.create(code="part", total_of=total)
            forget()
            cursor.execute("DELETE FROM zoo_entry WHERE code = 'total'")
        assert operations() == [("delete", "part"), ("delete", "total")]

    def test_an_upsert_of_sql_is_captured_for_both_its_halves(self) -> None:
        Entry.objects.create(code="a")
        forget()
        Entry.objects.bulk_create(
            [Entry(code="a", amount=5), Entry(code="b")],
            update_conflicts=True,
            update_fields=["amount"],
            unique_fields=["code"],
        )
        assert operations() == [("upsert", "a"), ("upsert", "b")]

    def test_what_is_not_watched_publishes_nothing(self) -> None:
        entry = Entry.objects.create(code="a")
        forget()
        Entry.objects.update(note="x")
        assert (operations("ledger_watch"), operations()) == ([], [("upsert", "a")])
        Entry.objects.filter(pk=entry.pk).update(amount=7)
        assert operations("ledger_watch") == [("upsert", "a")]

    def test_a_publication_that_ignores_deletes_leaves_none(self) -> None:
        Entry.objects.create(code="a")
        forget()
        Entry.objects.all().delete()
        assert (operations("ledger_lines"), operations()) == ([], [("delete", "a")])

    def test_what_is_rolled_back_leaves_none(self) -> None:
        with transaction.atomic():
            Entry.objects.create(code="a")
            transaction.set_rollback(True)
        assert rows() == []

    def test_what_came_from_a_topic_does_not_go_back_to_it(self) -> None:
        with echo.applying("ledger", Entry):
            Entry.objects.create(code="a")
            with connection.cursor() as cursor:
                cursor.execute("UPDATE zoo_entry SET amount = 2")
        assert (rows(), len(rows("ledger_lines"))) == ([], 2)
        Entry.objects.create(code="b")
        assert operations() == [("upsert", "b")]

    def test_an_echo_ends_with_its_block_when_a_savepoint_was_rolled_back_in_it(self) -> None:
        for inner in (True, False):
            with pytest.raises(ArithmeticError):
                self._fail_while_applying(inner=inner)
            Entry.objects.create(code=f"after {inner}")
        assert operations() == [("upsert", "after False"), ("upsert", "after True")]

    def _fail_while_applying(self, *, inner: bool) -> None:
        outer_block, inner_block = transaction.atomic(), echo.applying("ledger", Entry)
        first, second = (outer_block, inner_block) if inner else (inner_block, outer_block)
        with first, second:
            Entry.objects.create(code="echo")
            raise ArithmeticError

    def test_an_echo_of_another_model_is_published(self) -> None:
        with echo.applying("ledger", Person), echo.applying("people", Entry):
            Entry.objects.create(code="a")
        assert operations() == [("upsert", "a")]

    def test_nothing_is_published_while_it_is_suspended(self) -> None:
        with suspend_publishing("ledger"):
            Entry.objects.create(code="a")
        Entry.objects.create(code="b")
        assert operations() == [("upsert", "b")]
        assert operations("ledger_lines") == [("upsert", "a"), ("upsert", "b")]

    def test_an_instance_can_opt_out(self) -> None:
        entry = Entry(code="a")
        entry._logpipe_publish = False  # type: ignore[attr-defined]
        entry.save()
        entry.delete()
        assert rows() == []
        Entry.objects.create(code="b")
        assert operations() == [("upsert", "b")]

    def test_a_missing_source_names_the_cure(self) -> None:
        Source.objects.all().delete()
        with pytest.raises(Exception, match=r"manage\.py migrate logpipe_signals"), transaction.atomic():
            Entry.objects.create(code="a")

    def test_a_model_of_another_package_is_captured_by_its_proxy(self) -> None:
        for trigger in triggers.make(publications.for_model(PublishedPaper)[0]):
            trigger.install(PublishedPaper)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO zoo_paper (title) VALUES ('x')")
        assert topics() == ["papers"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])
def test_in_autocommit_an_echo_lasts_as_long_as_its_block() -> None:
    with echo.applying("ledger", Entry):
        Entry.objects.create(code="a")
    Entry.objects.create(code="b")
    assert operations() == [("upsert", "b")]


# --- everywhere -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_the_same_publication_is_captured_on_every_database() -> None:
    entry = Entry.objects.create(code="a")
    entry.code = "b"
    entry.save()
    entry.delete()
    assert operations() == [("delete", "b"), ("retract", "a"), ("upsert", "a"), ("upsert", "b")]
    assert operations("ledger_watch") == operations()


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_the_apps_own_migrations_carry_the_triggers(settings: Any, tmp_path: Any, monkeypatch: Any) -> None:
    package = tmp_path / "zoo_migrations"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"zoo": "zoo_migrations"}
    call_command("makemigrations", "zoo", stdout=StringIO())
    written = (package / "0001_initial.py").read_text()
    for publication in (*publications.for_model(Entry), *publications.for_model(PublishedPaper)):
        for trigger in triggers.make(publication):
            assert trigger.name in written
    assert written.count("AddTrigger") == 4 + 4 + 2 + 4


@pytest.fixture
def _declared() -> Iterator[None]:
    before = set(publications)
    yield
    for publication in set(publications) - before:
        publications.forget(publication)


@pytest.mark.usefixtures("_declared")
@pytest.mark.parametrize(
    ("model", "serializer", "options", "said"),
    [
        (Seat, SeatSerializer, {}, "no plain whole number"),
        (Dog, DogSerializer, {}, "multi-table child"),
        (Animal, DogSerializer, {"lookup_fields": ["breed"]}, "lookup field 'breed'"),
        (Entry, EntryV1Serializer, {"payload": "change"}, "payload='change'"),
    ],
)
def test_what_no_trigger_can_tell_is_found(model: Any, serializer: Any, options: Any, said: str) -> None:
    other = type("Other", (serializer,), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, capture="triggers", **options)(model)
    publications[f"{model._meta.label_lower}:checked"].declared_in = "tests.zoo.models"
    found = [message for message in check_publications() if message.id == "logpipe_signals.E018"]
    assert said in found[0].msg


@pytest.mark.usefixtures("_declared")
def test_a_third_partys_migrations_do_not_carry_triggers() -> None:
    other = type("Other", (publications.for_model(Person)[0].serializer_classes[0],), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, capture="triggers")(Person)
    publications["people.person:checked"].declared_in = "tests.zoo.publishers"
    found = [message for message in check_publications() if message.id == "logpipe_signals.E020"]
    assert "Publish a proxy of people.Person that 'zoo' declares." in str(found[0].hint)


@pytest.mark.usefixtures("_declared")
def test_triggers_without_pgtrigger_are_found(settings: Any) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "pgtrigger"]
    assert "logpipe_signals.E019" in {message.id for message in check_publications()}
