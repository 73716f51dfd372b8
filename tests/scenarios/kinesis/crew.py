"""The workers of a scenario, what they applied, and what is wrong with it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Collection

import psycopg

from logpipe_signals.testing.services.ports import wait_until
from tests.scenarios.checker import Entry, Verdict, judge
from tests.scenarios.kinesis.log import KinesisLog, entry_of
from tests.scenarios.processes import ROOT
from tests.scenarios.publishing import audit
from tests.scenarios.publishing.world import World

CATCH_UP_SECONDS = 60
APPLIED = """
CREATE TABLE scenario_applied (
    id bigserial PRIMARY KEY, shard text NOT NULL, number text NOT NULL, key text NOT NULL, value bytea NOT NULL
);
CREATE TABLE scenario_shards_taken_over (name text NOT NULL);
CREATE FUNCTION scenario_shard_taken_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_shards_taken_over VALUES (OLD.name);
    RETURN NULL;
END $$;
-- A shard that is handed over is nobody's first: this one was taken from an owner who never gave it back.
CREATE TRIGGER scenario_shard_taken_over AFTER UPDATE ON logpipe_signals_lease FOR EACH ROW
    WHEN (NEW.kind = 'shard' AND OLD.owner <> '' AND NEW.owner <> '' AND OLD.owner <> NEW.owner)
    EXECUTE FUNCTION scenario_shard_taken_over();
"""


def prepare(url: str, environment: dict[str, str]) -> None:
    """Make the subscriber's tables, those that note what is applied included."""
    command = [sys.executable, "manage.py", "migrate", "--database=subscriber", "--verbosity=0"]
    # By the test project's own settings: the migrations of the scenarios' models are made for the publisher only.
    settings = {"DJANGO_SETTINGS_MODULE": "testproject.settings"}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment, **settings}, check=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(APPLIED)


class Crew:
    """
    Workers that read what a world's relays write.

    Args:
        world: Its programs are started and ended with it.
        url: The subscriber's database, for us.
    """

    def __init__(self, world: World, log: KinesisLog, url: str, *, workers: int = 2) -> None:
        self.world = world
        self.log = log
        self._url = url
        self._chance = random.Random(world.seed + 2)
        module = ["-m", "tests.scenarios.kinesis.worker"]
        self.workers = [world.program(f"worker{number}", *module) for number in range(workers)]
        self.kills = 0

    def start(self) -> None:
        """Start them, and wait until they have applied something."""
        for worker in self.workers:
            worker.start()
        self.world.wait_until(lambda: self.count() > 0, "something is applied")

    def kill_one(self) -> None:
        """SIGKILL one that has been at work, and start another in its place."""
        worker = self._chance.choice(self.workers)
        worker.kill()
        self.kills += 1
        worker.start()

    def catch_up(self) -> None:
        """Wait until everything on the log was applied, and end the workers."""
        for worker in self.workers:
            assert not worker.has_crashed, f"{worker.name} crashed:\n{worker.output[-3000:]}"
        wanted = {(entry.partition, entry.offset): entry for entry in self.log.read()}
        if not wait_until(lambda: not self._missing(wanted), timeout_seconds=CATCH_UP_SECONDS):
            missing = "\n".join(str(wanted[place]) for place in sorted(self._missing(wanted)))
            said = "\n".join(f"--- {worker.name}:\n{worker.output[-1500:]}" for worker in self.workers)
            raise AssertionError(
                f"LOGPIPE_SEED={self.world.seed}: not applied:\n{missing}\n{self._positions()}\n{said}"
            )
        for worker in self.workers:
            worker.stop()

    def _missing(self, wanted: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        return set(wanted) - {(entry.partition, entry.offset) for entry in self.applied()}

    def _positions(self) -> str:
        query = "SELECT partition, position FROM logpipe_signals_offset ORDER BY partition"
        with psycopg.connect(self._url) as connection:
            return "\n".join(f"{shard}: {position}" for shard, position in connection.execute(query).fetchall())

    # --- what they did ----------------------------------------------------------------------------------------------

    def applied(self) -> list[Entry]:
        """Return what was applied, in the order in which it was."""
        query = "SELECT shard, number, key, value FROM scenario_applied ORDER BY id"
        with psycopg.connect(self._url) as connection:
            return [entry_of(*row) for row in connection.execute(query).fetchall()]

    def count(self) -> int:
        """Return how many records were applied."""
        return audit.count(self._url, "SELECT count(*) FROM scenario_applied")

    @property
    def take_overs(self) -> int:
        """Return how many shards were taken from an owner whose lease had run out."""
        return audit.count(self._url, "SELECT count(*) FROM scenario_shards_taken_over")

    def repeated(self) -> list[tuple[str, int]]:
        """Return the records that were applied more than once."""
        counts = Counter((entry.partition, entry.offset) for entry in self.applied())
        return [place for place, count in counts.items() if count > 1]

    def verdict(self) -> Verdict:
        """Hold what was applied, in its order, against the whole history: by the rules for a log."""
        return judge(audit.read_changes(self.world.url), self.applied(), strict=True)

    def copies(self) -> dict[str, tuple[str, ...]]:
        """Return the subscriber's rows by their key."""
        return _people(self._url, "mirror_personcopy")

    def originals(self) -> dict[str, tuple[str, ...]]:
        """Return the publisher's rows by their key."""
        return _people(self.world.url, "people_person")


def _people(url: str, table: str) -> dict[str, tuple[str, ...]]:
    query = f"SELECT uuid::text, first_name, last_name, email FROM {table}"
    with psycopg.connect(url) as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query.encode()).fetchall()}
