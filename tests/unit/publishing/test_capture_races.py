"""
A row that is deleted and made again, while another one waits for its lock, or between its look and its write.

Found by the scenarios: PostgreSQL gives who waited no row at all, though the write that follows finds the new one. So a
changed key was not retracted, and a delete not captured; consumers kept the row for ever.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.models.signals import pre_delete, pre_save

from logpipe_signals.models import OutboxRow
from logpipe_signals.testing.services.ports import wait_until
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.zoo.models import Animal, Dog, Watched

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(databases=["default"], transaction=True)]

KEYS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(4)]
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def joe(logpipe_settings: ChangeSettings) -> Person:
    logpipe_settings(RELAY="worker")
    Person.objects.create(pk=1, uuid=KEYS[1])
    OutboxRow.objects.all().delete()
    return Person.objects.get(pk=1)


def make_again(key: str) -> None:
    Person.objects.get(pk=1).delete()
    Person.objects.create(pk=1, uuid=key)


def make_again_while(write: Callable[[], object], *, key: str = KEYS[2]) -> None:
    """Delete the row and make it again, and commit when the other writer waits for it."""
    run_while(lambda: make_again(key), write)


def run_while(first: Callable[[], object], write: Callable[[], object]) -> None:
    """Do something in a transaction, and commit when the other writer waits for it."""

    def waiting() -> None:
        write()
        connection.close()

    with transaction.atomic():
        first()
        other = threading.Thread(target=waiting)
        other.start()
        assert wait_until(_somebody_waits, timeout_seconds=10)
    other.join()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def captured() -> list[tuple[str, str]]:
    return [(str(row.operation), row.key) for row in OutboxRow.objects.order_by("pk")]


def test_the_key_of_a_row_made_again_is_retracted_by_who_changes_it(joe: Person) -> None:
    joe.uuid = KEYS[3]

    make_again_while(joe.save)

    assert str(Person.objects.get(pk=1).uuid) == KEYS[3]
    assert ("retract", KEYS[2]) in captured()


def test_a_row_made_again_is_captured_by_who_deletes_it(joe: Person) -> None:
    make_again_while(joe.delete)

    assert not Person.objects.exists()
    assert ("delete", KEYS[2]) in captured()


def test_a_save_does_not_take_over_a_row_that_was_made_after_its_look(joe: Person) -> None:
    def elsewhere() -> None:
        Person.objects.create(pk=2, uuid=KEYS[2])
        connection.close()

    def made_in_between(instance: Person, **_: object) -> None:
        if str(instance.uuid) == KEYS[3]:
            other = threading.Thread(target=elsewhere)
            other.start()
            other.join()

    pre_save.connect(made_in_between, sender=Person)
    try:
        with pytest.raises(IntegrityError):
            Person(pk=2, uuid=KEYS[3]).save()
    finally:
        pre_save.disconnect(made_in_between, sender=Person)

    assert str(Person.objects.get(pk=2).uuid) == KEYS[2]
    assert captured() == [("upsert", KEYS[2])]


def test_a_loaded_row_that_is_gone_and_back_under_its_old_key_is_saved(joe: Person) -> None:
    joe.first_name = "Joe"

    make_again_while(joe.save, key=KEYS[1])

    assert Person.objects.get(pk=1).first_name == "Joe"


# --- made again between the look and the write ------------------------------------------------------------------------


def elsewhere(write: Callable[[], object]) -> None:
    """Let another session write and commit."""

    def run() -> None:
        write()
        connection.close()

    other = threading.Thread(target=run)
    other.start()
    other.join()


@contextmanager
def made_between(signal: Any, sender: type[models.Model], make: Callable[[], object]) -> Iterator[None]:
    """Make a row in another session after capture has looked, and before Django writes."""

    def once(**_: object) -> None:
        signal.disconnect(once, sender=sender)
        elsewhere(make)

    signal.connect(once, sender=sender, weak=False)
    try:
        yield
    finally:
        signal.disconnect(once, sender=sender)


def test_a_row_made_again_after_the_look_is_captured_by_who_deletes_it(joe: Person) -> None:
    elsewhere(lambda: Person.objects.get(pk=1).delete())

    with made_between(pre_delete, Person, lambda: Person.objects.create(pk=1, uuid=KEYS[2])):
        joe.delete()

    assert not Person.objects.exists()
    assert captured()[-1] == ("delete", KEYS[2])


def test_a_child_made_again_after_the_look_is_captured_with_its_parents_columns(joe: Person) -> None:
    rex = Dog.objects.create(code="rex")
    pk = rex.pk
    elsewhere(lambda: Dog.objects.get(pk=pk).delete())

    with made_between(pre_delete, Dog, lambda: Dog.objects.create(pk=pk, code="new rex")):
        rex.delete()

    assert not Animal.objects.exists()
    gone = OutboxRow.objects.filter(operation="delete", key="new rex")
    assert {row.publication.partition(":")[2] for row in gone} == {"animals", "dogs"}


@pytest.mark.parametrize("options", [{"update_fields": ["uuid"]}, {"force_update": True}])
def test_an_update_of_a_row_that_was_gone_at_the_look_does_not_write_a_newer_one(
    joe: Person, options: dict[str, Any]
) -> None:
    elsewhere(lambda: Person.objects.get(pk=1).delete())
    joe.uuid = uuid.UUID(KEYS[3])

    with (
        made_between(pre_save, Person, lambda: Person.objects.create(pk=1, uuid=KEYS[2])),
        pytest.raises(DatabaseError),
    ):
        joe.save(**options)

    assert not Person.objects.filter(uuid=KEYS[3]).exists()
    assert ("upsert", KEYS[3]) not in captured()


def test_a_watched_row_made_after_the_look_is_not_taken_over(joe: Person) -> None:
    row = Watched.objects.create(email="a")
    elsewhere(lambda: Watched.objects.all().delete())

    with (
        made_between(pre_save, Watched, lambda: Watched.objects.create(pk=row.pk, email="b")),
        pytest.raises(IntegrityError),
    ):
        row.save()

    assert Watched.objects.get().email == "b"


def test_a_child_made_after_the_look_is_not_taken_over_without_retracting_its_key(joe: Person) -> None:
    rex = Dog.objects.create(code="rex")
    elsewhere(lambda: Dog.objects.all().delete())
    rex.code = "max"

    with (
        made_between(pre_save, Dog, lambda: Dog.objects.create(pk=rex.pk, code="new rex")),
        pytest.raises(IntegrityError),
    ):
        rex.save()

    assert Dog.objects.get().code == "new rex"


def test_the_key_of_a_child_made_again_is_retracted_by_who_changes_it(joe: Person) -> None:
    rex = Dog.objects.create(code="rex")
    pk = rex.pk
    rex.code = "max"

    def again() -> None:
        Dog.objects.get(pk=pk).delete()
        Dog.objects.create(pk=pk, code="new rex")

    run_while(again, rex.save)

    assert Dog.objects.get().code == "max"
    assert OutboxRow.objects.filter(operation="retract", key="new rex").count() == 2
