"""Both sides of an audit: relays, consumers and writers, people who rest, and a hand behind the subscriber's back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.scenarios.consuming.field import Field
from tests.scenarios.processes import ROOT, Program

SIDE = "tests.scenarios.auditing.side"
RESTING = range(1001, 1301)
"""Nobody writes these; the writers' rows are the first ones."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    printed: str
    findings: frozenset[tuple[str, str]]
    """(kind, primary key; of an extra row its uuid)"""


class Both:
    """A field with both sides on it."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.writers: list[Program] = []

    def seed(self) -> None:
        self.field.run("-m", SIDE, "seed", str(RESTING.start), str(RESTING.stop))

    def start(self, *, consumers: int = 2, writers: int = 2) -> list[Program]:
        """Start everybody, wait until the resting people have arrived, and return the consumers."""
        self.program("relay", "run_relay")
        crew = [self.program(f"consumer-{n}", "run_consumer") for n in range(consumers)]
        self.writers = [
            self.program(f"writer-{n}", "write", "--name", f"w{n}", "--seed", str(n), "--style", "people")
            for n in range(writers)
        ]
        self.field.wait_for(lambda: self.resting() == len(RESTING), "everybody who rests")
        return crew

    def program(self, name: str, *arguments: str) -> Program:
        return self.field.program(name, "-m", SIDE, *arguments)

    def resting(self) -> int:
        return int(self.field.query("SELECT count(*) FROM mirror_personcopy WHERE first_name LIKE 'Still%%'")[0][0])

    # --- commands -----------------------------------------------------------------------------------------------------

    def audit(self, *arguments: str) -> Ended:
        """Run audit_topic for the topic, and return how it ended and what it found."""
        return self._command("audit_topic", self.field.environment["SCENARIO_TOPIC"], *arguments)

    def report(self, *arguments: str) -> Ended:
        return self._command("audit_topic", "--report", *arguments)

    def _command(self, *arguments: str) -> Ended:
        keys = self.field.folder / f"keys-{uuid.uuid4().hex}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.field.environment}
        done = subprocess.run(
            [sys.executable, "-m", SIDE, *arguments, "--keys-file", str(keys)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        lines = [json.loads(line) for line in keys.read_text().splitlines()] if keys.exists() else []
        found = frozenset((line["kind"], line["pk"] or line["lookup"]["uuid"]) for line in lines)
        return Ended(code=done.returncode, printed=done.stdout + done.stderr, findings=found)

    # --- behind the subscriber's back ---------------------------------------------------------------------------------

    def hurt(self) -> frozenset[tuple[str, str]]:
        """Remove three rows, change four, add two, and return what an audit has to find."""
        removed, changed = RESTING[3:6], RESTING[10:14]
        ghosts = [str(uuid.uuid4()) for _ in range(2)]
        for pk in removed:
            self.field.query("DELETE FROM mirror_personcopy WHERE first_name = %s", f"Still {pk}")
        for pk in changed:
            self.field.query("UPDATE mirror_personcopy SET email = 'x' WHERE first_name = %s", f"Still {pk}")
        for ghost in ghosts:
            columns = "(uuid, first_name, last_name, email)"
            self.field.query(f"INSERT INTO mirror_personcopy {columns} VALUES (%s, 'Ghost', '', '')", ghost)
        return frozenset(
            [("missing", str(pk)) for pk in removed]
            + [("different", str(pk)) for pk in changed]
            + [("extra", ghost) for ghost in ghosts]
        )

    # --- what came of it ----------------------------------------------------------------------------------------------

    def applied(self) -> dict[str, int]:
        """Return the last sequence applied for each person who rests."""
        rows = self.field.query("SELECT identity, sequence FROM logpipe_signals_appliedsequence")
        resting = {f"person:{pk}" for pk in RESTING}
        return {identity: sequence for identity, sequence in rows if identity in resting}

    def are_alike(self) -> bool:
        """Tell whether both sides have the same people."""
        return self._people("", "people_person") == self._people("_subscriber", "mirror_personcopy")

    def _people(self, suffix: str, table: str) -> set[tuple[Any, ...]]:
        url = self.field.postgres.url_for(f"{self.field._name}{suffix}")
        with psycopg.connect(url) as connection:
            cursor = connection.execute(f"SELECT uuid, first_name, last_name, email FROM {table}")  # type: ignore[arg-type]
            return set(cursor.fetchall())
