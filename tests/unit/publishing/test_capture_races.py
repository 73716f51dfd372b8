"""
A row that is deleted and made again by one transaction, while another one waits for its lock.

Found by the scenarios: PostgreSQL gives who waited no row at all, though the write that follows finds the new one. So a
changed key was not retracted, and a delete not captured; consumers kept the row for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import pre_save

from logpipe_signals.models import OutboxRow
from testproject.people.models import Person
from testproject.services.ports import wait_until
from tests.conftest import ChangeSettings

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

    def elsewhere() -> None:
        write()
        connection.close()

    with transaction.atomic():
        make_again(key)
        other = threading.Thread(target=elsewhere)
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
