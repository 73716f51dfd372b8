"""
A row that is deleted and made again by one transaction, while another one waits for its lock.

Found by the scenarios: PostgreSQL gives who waited no row at all, though the write that follows finds the new one. So a
changed key was not retracted, and a delete not captured; consumers kept the row for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

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


def make_again_while(write: Callable[[], object]) -> None:
    """Delete the row and make it under another key, and commit when the other writer waits for it."""

    def elsewhere() -> None:
        write()
        connection.close()

    with transaction.atomic():
        Person.objects.get(pk=1).delete()
        Person.objects.create(pk=1, uuid=KEYS[2])
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
