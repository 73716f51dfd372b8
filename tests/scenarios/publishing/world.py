"""A scenario's world: a database of its own, a log, writers, relays, and the verdict at the end."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from logpipe_signals.testing.services.ports import wait_until
from tests.scenarios.checker import Verdict, judge
from tests.scenarios.processes import Program
from tests.scenarios.publishing import audit, beside
from tests.scenarios.publishing.logs import Log

SETTINGS = "tests.scenarios.publishing.settings"
WORK_SECONDS = 60
DRAIN_SECONDS = 150
PENDING = "SELECT count(*) FROM logpipe_signals_outboxrow"
DEAD_LETTERS = f"SELECT count(*) FROM logpipe_signals_deadletter WHERE publication <> '{beside.METERS}'"
WRITES = "SELECT count(*) FROM scenario_history"


class World:
    """
    Writers and relays at work.

    Args:
        url: Its database, for us, straight; with the audit's triggers in it.
        through: Its database, for the processes, perhaps through a proxy.
        seed: What writers do, and what is done to them.
        mutation: The promise that is taken out of its processes.
        settings: Keys of LOGPIPE, for its processes.
        writer_options: Arguments of the writers.
    """

    def __init__(
        self,
        *,
        url: str,
        log: Log,
        seed: int,
        folder: Path,
        through: str | None = None,
        relays: int = 3,
        writers: int = 3,
        mutation: str = "",
        settings: Mapping[str, Any] | None = None,
        writer_options: Sequence[str] = (),
    ) -> None:
        self.url = url
        self.log = log
        self.seed = seed
        self.chance = random.Random(seed)
        self.folder = folder
        self.environment = {
            **process_environment(through or url, settings),
            **log.environment,
            "LOGPIPE_MUTATION": mutation,
        }
        self._programs: list[Program] = []
        self.writes_all = "--style" not in writer_options
        self.relays = [self.program(f"relay{n}", "manage.py", "run_relay") for n in range(relays)]
        self.writers = [self._writer(n, writer_options) for n in range(writers)]
        log.begin()

    def program(self, name: str, *arguments: str) -> Program:
        """Return another program of this world, not started yet."""
        program = Program(name, arguments, environment=self.environment, folder=self.folder)
        self._programs.append(program)
        return program

    def _writer(self, number: int, options: Sequence[str]) -> Program:
        seed = str(self.chance.randrange(2**32))
        module = ["-m", "tests.scenarios.publishing.writer"]
        return self.program(f"writer{number}", *module, "--name", f"w{number}", "--seed", seed, *options)

    # --- its course ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everybody, and wait until they are at work."""
        for program in [*self.writers, *self.relays]:
            program.start()
        self.wait_for_writes(60)
        self.wait_until(lambda: self._holders() > 0, "a relay holds lanes")

    def wait_for_writes(self, more: int) -> None:
        """Wait until so much more was committed."""
        goal = self.count(WRITES) + more
        self.wait_until(lambda: self.count(WRITES) >= goal, f"{more} more writes are committed")

    def settle(self) -> None:
        """End the writers, let the relays send the rest, and end them: from here on nothing moves."""
        for program in [*self.writers, *self.relays]:
            program.resume()
        self.wait_until(lambda: True, "everybody is there")
        for writer in self.writers:
            writer.stop()
        for relay in self.relays:
            relay.start()
        self.wait_until(lambda: self.count(PENDING) == 0, "the outbox is empty", DRAIN_SECONDS)
        for relay in self.relays:
            relay.stop()

    def skip_what_cannot_be_told(self) -> int:
        """Skip the dead letters that are open, let the relays send what waited behind, and tell how many they were."""
        letters = [
            str(number) for number, _, state, _ in audit.read_letters(self.url, beside.METERS) if state == "open"
        ]
        skip = self.program("skip", "manage.py", "replay_dead_letters", "--publisher", "--skip", *letters)
        skip.start()
        assert skip.wait(timeout_seconds=30), skip.output
        assert f"{len(letters)} skipped" in skip.output, skip.output
        self.settle()
        return len(letters)

    def stop(self) -> None:
        """End everybody at once, whatever happened."""
        for program in self._programs:
            program.kill()

    # --- what it looks like -------------------------------------------------------------------------------------

    def verdict(self, *, strict: bool = True) -> Verdict:
        """Hold the whole log against the whole history."""
        return judge(audit.read_changes(self.url), self.log.read(), strict=strict)

    def require(self, *, strict: bool = True) -> Verdict:
        """Assert that every promise held, and that there was something to hold them against."""
        verdict = self.verdict(strict=strict)
        others = beside.violations(self.url, self.log, strict=strict) if self.writes_all else []
        everything = replace(verdict, violations=[*verdict.violations, *others])
        assert everything.holds, self._report(everything)
        assert self.count(DEAD_LETTERS) == 0, f"LOGPIPE_SEED={self.seed}: changes were set aside as dead letters"
        assert verdict.entries > 50, f"LOGPIPE_SEED={self.seed}: {verdict.report('too little happened:')}"
        for of in (audit.ACCOUNTS, audit.BOOKS, audit.SHELVES, audit.METERS) if self.writes_all else ():
            assert audit.read_changes(self.url, of), f"LOGPIPE_SEED={self.seed}: no {of.name} was written"
        return verdict

    def _report(self, verdict: Verdict) -> str:
        """Return what was broken, and for the first ones how it came about."""
        stories = [
            f"{v.rule} of {v.row}, key {v.key}:\n{audit.story(self.url, v.row, v.key)}" for v in verdict.violations[:3]
        ]
        return "\n".join([verdict.report(f"LOGPIPE_SEED={self.seed}:"), *stories])

    @property
    def take_overs(self) -> int:
        """Return how many lanes were taken from an owner whose lease had run out."""
        return audit.take_overs(self.url)

    def count(self, query: str) -> int:
        """Return the number that a query gives; -1 while the database is away."""
        try:
            return audit.count(self.url, query)
        except psycopg.OperationalError:
            return -1

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = WORK_SECONDS) -> None:
        """Wait for a condition; when it does not come, or somebody crashes, tell what the processes said last."""
        if wait_until(lambda: bool(self._crashed() or condition()), timeout_seconds=seconds) and not self._crashed():
            return
        crashed = ", ".join(self._crashed()) or "nobody"
        said = "\n".join(f"--- {p.name}:\n{p.output[-1500:]}" for p in self._programs)
        raise AssertionError(
            f"LOGPIPE_SEED={self.seed}: not within {seconds} s: {what}. "
            f"{self.count(PENDING)} pending, {crashed} crashed.\n{said}"
        )

    def _crashed(self) -> list[str]:
        return [program.name for program in [*self.relays, *self.writers] if program.has_crashed]

    def _holders(self) -> int:
        held = "SELECT count(*) FROM logpipe_signals_lease WHERE kind = 'lane' AND owner <> ''"
        return self.count(held)


def process_environment(url: str, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what a Django process of a scenario is started with."""
    return {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "DATABASE_URL": url,
        "LOGPIPE_RELAY": "worker",
        "LOGPIPE_TEST_APPS": "0",
        "LOGPIPE_LOG_LEVEL": os.environ.get("LOGPIPE_LOG_LEVEL", "WARNING"),
        "LOGPIPE_SETTINGS": json.dumps(dict(settings or {})),
    }
