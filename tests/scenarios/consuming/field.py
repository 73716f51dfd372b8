"""The field of a scenario: two databases, a log, a publisher, subscribers that can be hurt, and the judgement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import sql

from testproject.services import PostgresServer
from tests.scenarios.consuming.publisher import PEOPLE, uuid_of
from tests.scenarios.processes import ROOT, Program

LEASE_SECONDS = 2.0
SIDES = {"default": "", "subscriber": "_subscriber"}

_templates: WeakSet[PostgresServer] = WeakSet()
"""The servers that have the migrated databases."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong with what the subscribers did; nothing, if all is well."""

    repeated: list[tuple[Any, ...]]
    missing: int
    wrong_rows: list[tuple[Any, ...]]

    @property
    def holds(self) -> bool:
        """Tell whether every record was applied exactly once, and the rows are those of the publisher."""
        return not (self.repeated or self.missing or self.wrong_rows)


class Field:
    """
    Everything of one scenario, in a folder.

    Args:
        postgres: Keeps both sides' databases.
        log: Environment variables that choose the log.
    """

    def __init__(self, postgres: PostgresServer, folder: Path, *, log: Mapping[str, str]) -> None:
        self.postgres = postgres
        self.folder = folder
        self._name = f"scenario_{os.getpid()}_{time.monotonic_ns()}"
        self._log = dict(log)
        self._programs: list[Program] = []
        self._sent = 0
        self._copy_template()
        self.query("CREATE TABLE applied (uuid text, state bigint)")

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return self._name

    @property
    def environment(self) -> dict[str, str]:
        """Return what every process of the scenario is told."""
        settings = {
            "LEASE_SECONDS": LEASE_SECONDS,
            "CONSUMER_BATCH_SIZE": 40,
            **json.loads(self._log.get("LOGPIPE_SETTINGS", "{}")),
        }
        return {
            "DJANGO_SETTINGS_MODULE": "testproject.settings",
            "DATABASE_URL": self.postgres.url_for(self._name),
            "LOGPIPE_BACKEND": "database",
            "LOGPIPE_RELAY": "worker",
            "SCENARIO_TOPIC": self._name,
            **self._log,
            "LOGPIPE_SETTINGS": json.dumps(settings),
        }

    # --- those who act ------------------------------------------------------------------------------------------------

    def publish(self, count: int) -> None:
        """Send so many further states."""
        self._run("-m", "tests.scenarios.consuming.publisher", str(self._sent), str(count))
        self._sent += count

    def subscriber(self, name: str, *, fault: str = "", mutation: str = "") -> Program:
        """Start a subscriber."""
        environment = {**self.environment, "SCENARIO_FAULT": fault, "SCENARIO_MUTATION": mutation}
        arguments = ["-m", "tests.scenarios.consuming.subscriber"]
        program = Program(name, arguments, environment=environment, folder=self.folder)
        self._programs.append(program)
        program.start()
        return program

    def program(self, name: str, *arguments: str, **environment: str) -> Program:
        """Start another program on the field."""
        program = Program(name, arguments, environment={**self.environment, **environment}, folder=self.folder)
        self._programs.append(program)
        program.start()
        return program

    def run(self, *arguments: str, **environment: str) -> None:
        """Run a program on the field to its end."""
        self._run(*arguments, **environment)

    def close(self) -> None:
        """End what still runs, and drop the databases."""
        for program in self._programs:
            program.kill()
        for suffix in SIDES.values():
            self.postgres.drop_database(self._name + suffix)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the subscriber's database."""
        with psycopg.connect(self.postgres.url_for(f"{self._name}_subscriber"), autocommit=True) as connection:
            cursor = connection.execute(text, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def applied(self) -> int:
        """Return how many different records were applied."""
        return int(self.query("SELECT count(DISTINCT state) FROM applied")[0][0])

    def wait_until_applied(self, count: int | None = None, *, timeout_seconds: float = 90) -> None:
        """Wait for so many records, or for all."""
        wanted = self._sent if count is None else count
        self.wait_for(lambda: self.applied() >= wanted, f"{wanted} records", timeout_seconds=timeout_seconds)

    def wait_for(self, condition: Callable[[], bool], what: str, *, timeout_seconds: float = 60) -> None:
        """Wait for something to come to pass, and show what the processes printed if it does not."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come: {self.applied()} applied.\n{self.outputs()}"
            time.sleep(0.1)

    def outputs(self) -> str:
        """Return the end of what each process printed."""
        return "\n".join(f"--- {program.name}\n{program.output[-3000:]}" for program in self._programs)

    def judge(self) -> Verdict:
        """Hold what was applied against what was sent."""
        counts = self.query("SELECT state, count(*) FROM applied GROUP BY state")
        last = {uuid_of(number): number for number in range(max(0, self._sent - PEOPLE), self._sent)}
        rows = dict(self.query("SELECT uuid::text, last_name::bigint FROM mirror_personcopy"))
        return Verdict(
            repeated=[row for row in counts if row[1] != 1],
            missing=self._sent - len(counts),
            wrong_rows=[(uuid, state, rows.get(uuid)) for uuid, state in last.items() if rows.get(uuid) != state],
        )

    def _copy_template(self) -> None:
        """Copy both databases from migrated ones, made once a session: migrating takes seconds."""
        template = f"template_{os.getpid()}"
        if self.postgres not in _templates:
            _templates.add(self.postgres)
            environment = {"DATABASE_URL": self.postgres.url_for(template)}
            for alias, suffix in SIDES.items():
                self.postgres.create_database(template + suffix)
                self._run("manage.py", "migrate", "--database", alias, "-v", "0", **environment)
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            for suffix in SIDES.values():
                copied = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
                connection.execute(
                    copied.format(sql.Identifier(self._name + suffix), sql.Identifier(template + suffix))
                )

    def _run(self, *arguments: str, **environment: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **environment}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stderr}"
