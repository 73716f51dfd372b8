"""
A subscriber moves over from django-logpipe mid-stream: nothing is lost, nothing applied twice.

django-logpipe 1.6 is the real package, in an environment of its own; the topic is on a real Kafka.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.peer.environment import interpreter
from benchmarks.peer.process import FOREIGN
from testproject.services import ServiceUnavailable
from tests.conftest import service_or_skip
from tests.scenarios.consuming.publisher import PEOPLE, uuid_of
from tests.scenarios.processes import ROOT

pytestmark = pytest.mark.scenario

MESSAGES = 300
BEFORE = 137
"""Applied by django-logpipe: it stops in the middle of partitions."""


@pytest.fixture(scope="session")
def django_logpipe() -> str:
    """Return the Python of an environment that has django-logpipe, made once and kept."""
    with service_or_skip(_environment()) as python:
        return python


def _environment() -> AbstractContextManager[str]:
    try:
        return nullcontext(str(interpreter()))
    except subprocess.CalledProcessError as error:
        return _Missing(f"django-logpipe could not be installed: {error}")


class _Missing(AbstractContextManager[str]):
    def __init__(self, why: str) -> None:
        self._why = why

    def __enter__(self) -> str:
        raise ServiceUnavailable(self._why)

    def __exit__(self, *error: object) -> None: ...


class Mover:
    """A subscriber's database, and the programs of both packages that work on it."""

    def __init__(self, servers: str, folder: Path) -> None:
        self._topic = f"moving_{os.getpid()}_{time.monotonic_ns()}"
        self._folder = folder
        self.database = folder / "logpipe_subscriber.sqlite3"
        self._environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self._environment.pop("DATABASE_URL", None)
        self._environment["KAFKA_BOOTSTRAP_SERVERS"] = servers

    @classmethod
    def beside(cls, other: Mover, folder: Path) -> Mover:
        """Return another subscriber to the same topic, with the same tables, empty."""
        shutil.copytree(other._folder, folder, ignore=shutil.ignore_patterns(folder.name))
        found = cls(other._environment["KAFKA_BOOTSTRAP_SERVERS"], folder)
        found._topic = other._topic
        return found

    def django_logpipe(self, python: str, do: str, *arguments: object) -> None:
        """Let django-logpipe itself `consume` so many records, or `send` states of people."""
        program = Path(__file__).parent / "before_moving.py"
        self._run(python, str(program), do, self._topic, str(self.database), *map(str, arguments))

    def ours(self, *arguments: str) -> str:
        """Run a program of ours."""
        return self._run(
            sys.executable,
            *arguments,
            PYTHONPATH=str(ROOT),
            DJANGO_SETTINGS_MODULE="testproject.settings",
            TESTPROJECT_DATA_DIR=str(self._folder),
            LOGPIPE_BACKEND="kafka",
            SCENARIO_TOPIC=self._topic,
        )

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Ask the subscriber's database."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(text).fetchall()

    def _run(self, *command: str, **environment: str) -> str:
        environment = {**self._environment, **environment}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def copies(self) -> dict[str, int]:
        """Return the last state of each person that the subscriber has."""
        rows = self.query("SELECT uuid, last_name FROM mirror_personcopy")
        return {str(uuid).replace("-", ""): int(str(state)) for uuid, state in rows}


@pytest.fixture
def subscriber(kafka_broker: str, tmp_path: Path) -> Mover:
    """Return a subscriber with its tables, and a topic of its own."""
    mover = Mover(kafka_broker, tmp_path)
    for alias in ("default", "subscriber"):
        mover.ours("manage.py", "migrate", "--database", alias, "-v", "0")
    mover.query("CREATE TABLE applied (uuid text, state integer)")
    return mover


@pytest.fixture
def mover(subscriber: Mover) -> Mover:
    """Return a subscriber, and messages on its topic."""
    mover = subscriber
    mover.ours("-m", "tests.scenarios.consuming.publisher", "0", str(MESSAGES))
    return mover


def test_a_subscriber_moves_over_from_django_logpipe_and_applies_each_record_once(mover: Mover, django_logpipe: str):
    mover.django_logpipe(django_logpipe, "consume", BEFORE)
    assert mover.query("SELECT sum(offset) FROM logpipe_kafkaoffset") == [(BEFORE,)]

    told = mover.ours("manage.py", "adopt_logpipe", "--database", "subscriber")
    assert ": adopted" in told
    mover.ours("-m", "tests.scenarios.consuming.subscriber", "--until-caught-up")

    applied = Counter(state for (state,) in mover.query("SELECT state FROM applied"))
    assert applied == Counter(range(MESSAGES))
    assert mover.copies() == {uuid_of(state).replace("-", ""): state for state in range(MESSAGES - PEOPLE, MESSAGES)}
    assert mover.query("SELECT sum(CAST(position AS integer)) FROM logpipe_signals_offset") == [(MESSAGES,)]


def test_the_checker_sees_a_move_without_adopting(mover: Mover, django_logpipe: str):
    mover.django_logpipe(django_logpipe, "consume", BEFORE)
    mover.ours("-m", "tests.scenarios.consuming.subscriber", "--until-caught-up")
    assert len(mover.query("SELECT state FROM applied")) == MESSAGES + BEFORE


def test_a_subscriber_moves_back_and_django_logpipe_goes_on_where_ours_stopped(mover: Mover, django_logpipe: str):
    mover.django_logpipe(django_logpipe, "consume", 1)
    mover.ours("manage.py", "adopt_logpipe", "--database", "subscriber")
    mover.ours("-m", "tests.scenarios.consuming.subscriber", "--max-records", str(BEFORE))
    mover.ours("manage.py", "adopt_logpipe", "--database", "subscriber", "--back")
    applied = mover.query("SELECT count(*) FROM applied")[0][0]
    mover.django_logpipe(django_logpipe, "consume", MESSAGES - int(str(applied)))

    states = Counter(state for (state,) in mover.query("SELECT state FROM applied"))
    assert states == Counter(range(MESSAGES))


def test_fleets_of_both_packages_write_and_read_one_topic(subscriber: Mover, django_logpipe: str, tmp_path: Path):
    theirs = Mover.beside(subscriber, tmp_path / "theirs")
    ours = subscriber
    people = [uuid_of(number) for number in range(4)]
    states = [(uuid, state) for state in range(3) for uuid in people]

    theirs.django_logpipe(django_logpipe, "send", *chain.from_iterable(states))
    ours.ours("-m", "tests.scenarios.consuming.fleet", *people[:3])
    theirs.django_logpipe(django_logpipe, "send", people[0], 200)
    theirs.django_logpipe(django_logpipe, "consume", len(states) + 3 + 1)
    ours.ours("-m", "tests.scenarios.consuming.subscriber", "--until-caught-up")

    expected = {people[0]: 200, people[1]: 100, people[2]: 100, people[3]: 2}
    expected = {uuid.replace("-", ""): state for uuid, state in expected.items()}
    assert theirs.copies() == expected, "django-logpipe passes over the delete"
    del expected[people[2].replace("-", "")]
    assert ours.copies() == expected
