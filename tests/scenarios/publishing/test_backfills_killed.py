"""A backfill beside writers, whose runners are killed: others go on with it, and no row is lost or taken back."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.scenarios.processes import Program
from tests.scenarios.publishing.logs import DatabaseLog
from tests.scenarios.publishing.world import World

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

ROWS = 1_200
OLD_PEOPLE = """
INSERT INTO people_person (uuid, first_name, last_name, email)
SELECT gen_random_uuid(), 'Old ' || n, 'Schmoe', '' FROM generate_series(1, %s) AS n
"""
ROWS_DONE = "SELECT COALESCE(max(rows_done), 0) FROM logpipe_signals_backfill"
DONE = "SELECT count(*) FROM logpipe_signals_backfill WHERE state = 'done'"
RUNNER = "SELECT owner FROM logpipe_signals_lease WHERE kind = 'backfill' AND expires_at > clock_timestamp()"


def test_a_backfill_beside_writers_whose_runners_are_killed_twice(
    make_world: Callable[..., World], database: str
) -> None:
    """Rows written past the application reach the log by the backfill alone, so each one lost would be missed."""
    world = make_world(log=DatabaseLog(database), relays=2, writers=2, settings={"RELAY_BATCH_SIZE": 100})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(OLD_PEOPLE, [ROWS])
    world.start()
    command = world.program("backfill", "manage.py", "republish_all", "people", "--chunk-size=50", "--rate=300")
    command.start()

    world.wait_until(lambda: world.count(ROWS_DONE) >= ROWS // 4, "a quarter is in the outbox")
    command.kill()
    first = heir(world, command)
    world.wait_until(lambda: world.count(ROWS_DONE) >= ROWS // 2, "another runner went on")
    first.kill()
    second = heir(world, command)
    world.wait_until(lambda: world.count(DONE) == 1, "the last one ended it")
    world.settle()

    world.require()
    assert first is not second
    assert ROWS * 0.9 < world.count(ROWS_DONE) < ROWS * 1.5, "it went on, and did not begin again"


def heir(world: World, dead: Program) -> Program:
    """Wait until a relay that lives has taken the job up, and return it."""
    found: list[Program] = []

    def taken_up() -> bool:
        with psycopg.connect(world.url) as connection:
            owner = connection.execute(RUNNER).fetchone()
        pid = int(owner[0].split(":")[1]) if owner else 0
        found[:] = [relay for relay in world.relays if relay.is_running and relay.pid == pid]
        return bool(found)

    world.wait_until(taken_up, "a relay has taken the backfill up")
    return found[0]
