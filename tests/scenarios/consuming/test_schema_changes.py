"""
A schema change as the documentation of django-logpipe has it, with old and new processes side by side.

Version 2 of a person has an email address, version 1 has not. Each process is told its release.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.scenarios.consuming.conftest import MakeField
from tests.scenarios.consuming.field import Field

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

RELEASES = "tests.scenarios.consuming.releases"
ALL, OLD_HALF, NEW_HALF = ("0", "50"), ("50", "25"), ("75", "25")


@pytest.fixture
def field(make_field: MakeField) -> Field:
    """Return a field on the embedded log, which the publishers send to themselves."""
    return make_field(LOGPIPE_RELAY="inline")


def publisher(field: Field, release: int, numbers: tuple[str, str]):
    name = f"publisher of release {release}"
    return field.program(name, "-m", RELEASES, "publish", *numbers, SCENARIO_RELEASE=str(release))


def subscriber(field: Field, release: int, name: str = ""):
    name = f"subscriber of release {release} {name}"
    return field.program(name, "-m", RELEASES, "consume", "run_consumer", SCENARIO_RELEASE=str(release))


def publish_side_by_side(field: Field) -> None:
    """Let an old and a new publisher write at once, each its half of the people."""
    writers = [publisher(field, 1, OLD_HALF), publisher(field, 2, NEW_HALF)]
    field.wait_for(lambda: not any(writer.is_running for writer in writers), "the publishers' end")


def publish_all_of_old(field: Field) -> None:
    field.run("-m", RELEASES, "publish", *ALL, SCENARIO_RELEASE="1")


def replay(field: Field, release: int) -> None:
    field.run("-m", RELEASES, "consume", "replay_dead_letters", SCENARIO_RELEASE=str(release))


def copies(field: Field) -> list[tuple[Any, ...]]:
    return field.query("SELECT uuid::text, first_name, last_name, email FROM mirror_personcopy ORDER BY 1")


def originals(field: Field) -> list[tuple[Any, ...]]:
    url = field.environment["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT uuid::text, first_name, last_name, email FROM people_person ORDER BY 1")
        return rows.fetchall()


def letters(field: Field) -> dict[str, int]:
    return dict(field.query("SELECT state, count(*) FROM logpipe_signals_deadletter GROUP BY state"))


def read_to_the_end(field: Field, release: int = 2) -> None:
    consume = ("consume", "run_consumer", "--until-caught-up")
    field.run("-m", RELEASES, *consume, SCENARIO_RELEASE=str(release))


def test_consumers_first_then_publishers_keeps_every_version_beside_the_other(field: Field):
    publish_all_of_old(field)
    old = subscriber(field, 1)
    field.wait_for(lambda: len(copies(field)) == 50, "the first records")
    new = subscriber(field, 2)  # step 1: consumers learn version 2, a rolling deploy
    old.stop()
    publish_side_by_side(field)  # step 2: publishers begin to send it, a rolling deploy
    field.wait_for(lambda: copies(field) == originals(field), "both versions")
    assert new.is_running
    assert letters(field) == {}


def test_a_version_that_comes_before_its_consumers_is_kept_until_they_are_there(field: Field):
    publish_all_of_old(field)
    read_to_the_end(field, release=1)
    publish_side_by_side(field)
    read_to_the_end(field, release=1)
    assert letters(field) == {"open": 25}
    assert len([row for row in copies(field) if row[1] == "of release 2"]) == 0
    replay(field, 2)
    assert copies(field) == originals(field)
    assert letters(field) == {"replayed": 25}


def test_old_and_new_consumers_in_one_group_lose_nothing(field: Field):
    publish_all_of_old(field)
    old, new = subscriber(field, 1), subscriber(field, 2)
    field.wait_for(lambda: len(copies(field)) == 50, "the first records")
    publish_side_by_side(field)
    field.wait_for(lambda: all_read(field), "the end of the log")
    assert letters(field)["open"], "the old consumer came across no record of version 2"
    old.stop()
    replay(field, 2)
    assert new.is_running
    assert copies(field) == originals(field)
    assert "open" not in letters(field)


def all_read(field: Field) -> bool:
    """Tell whether the group stands at the end: 50 records, and 50 more."""
    return field.query("SELECT sum(position::bigint) FROM logpipe_signals_offset") == [(100,)]
