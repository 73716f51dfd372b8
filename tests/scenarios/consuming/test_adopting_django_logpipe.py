"""
A subscriber moves over from django-logpipe mid-stream: nothing is lost, nothing applied twice.

django-logpipe 1.6 is the real package, in an environment of its own; the topic is on a real Kafka.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager, closing, nullcontext
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

    def django_logpipe(self, python: str, records: int) -> None:
        """Let django-logpipe's own consumer apply so many records."""
        program = Path(__file__).parent / "before_moving.py"
        self._run(python, str(program), self._topic, str(records), str(self.database))

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


@pytest.fixture
def mover(kafka_broker: str, tmp_path: Path) -> Mover:
    """Return a subscriber with its tables, and a topic with messages."""
    mover = Mover(kafka_broker, tmp_path)
    mover.ours("manage.py", "migrate", "--database", "subscriber", "-v", "0")
    mover.query("CREATE TABLE applied (uuid text, state integer)")
    mover.ours("-m", "tests.scenarios.consuming.publisher", "0", str(MESSAGES))
    return mover


def test_a_subscriber_moves_over_from_django_logpipe_and_applies_each_record_once(mover: Mover, django_logpipe: str):
    mover.django_logpipe(django_logpipe, BEFORE)
    assert mover.query("SELECT sum(offset) FROM logpipe_kafkaoffset") == [(BEFORE,)]

    told = mover.ours("manage.py", "adopt_logpipe", "--database", "subscriber")
    assert ": adopted" in told
    mover.ours("-m", "tests.scenarios.consuming.subscriber", "--until-caught-up")

    applied = Counter(state for (state,) in mover.query("SELECT state FROM applied"))
    assert applied == Counter(range(MESSAGES))
    copies = {
        str(uuid): int(str(state)) for uuid, state in mover.query("SELECT uuid, last_name FROM mirror_personcopy")
    }
    assert copies == {uuid_of(state).replace("-", ""): state for state in range(MESSAGES - PEOPLE, MESSAGES)}
    assert mover.query("SELECT sum(CAST(position AS integer)) FROM logpipe_signals_offset") == [(MESSAGES,)]


def test_the_checker_sees_a_move_without_adopting(mover: Mover, django_logpipe: str):
    mover.django_logpipe(django_logpipe, BEFORE)
    mover.ours("-m", "tests.scenarios.consuming.subscriber", "--until-caught-up")
    assert len(mover.query("SELECT state FROM applied")) == MESSAGES + BEFORE
