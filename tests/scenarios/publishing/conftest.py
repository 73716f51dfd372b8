"""A PostgreSQL, a Kafka and a world for each scenario. The services are the scenarios' own: they get hurt."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from testproject.services import KafkaBroker, PostgresServer, ServiceUnavailable, TcpProxy
from tests.scenarios.processes import ROOT
from tests.scenarios.publishing import audit
from tests.scenarios.publishing.logs import DatabaseLog, KafkaLog, Log
from tests.scenarios.publishing.world import World, process_environment

TEMPLATE = "template_scenario"
Started = TypeVar("Started")


@pytest.fixture(scope="session")
def started() -> Iterator[Callable[[Any], Any]]:
    """Start a service for the session; a missing part skips on a laptop and fails in CI."""
    with ExitStack() as stack:

        def start(service: Any) -> Any:
            try:
                return stack.enter_context(service)
            except ServiceUnavailable as error:
                if os.environ.get("CI") == "true":
                    pytest.fail(str(error))
                pytest.skip(str(error))

        yield start


@pytest.fixture(scope="session")
def postgres(started: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
    """Return a PostgreSQL with a migrated and audited template in it."""
    server: PostgresServer = started(PostgresServer())
    url = server.create_database(TEMPLATE)
    migrations = tmp_path_factory.mktemp("migrations") / "scenario_migrations"
    migrations.mkdir()
    (migrations / "__init__.py").touch()
    environment = {**os.environ, **process_environment(url), "PYTHONPATH": f"{ROOT}{os.pathsep}{migrations.parent}"}
    for command in (["makemigrations", "publishing_scenarios"], ["migrate"]):
        arguments = [sys.executable, "manage.py", *command, "--verbosity=0"]
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True)
    audit.install(url)
    return server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Return the address of a database of this test's own."""
    name = f"scenario_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
    yield postgres.url_for(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def broker(started: Callable[[Any], Any]) -> KafkaBroker:
    """Return a Kafka with a way in through a proxy."""
    kafka: KafkaBroker = started(KafkaBroker(num_partitions=3, proxy=TcpProxy()))
    return kafka


@pytest.fixture(params=["database", "confluent"])
def log(request: pytest.FixtureRequest, database: str) -> Log:
    """Return a log: the embedded one, and Kafka by the client that all other scenarios do not use."""
    if request.param == "database":
        return DatabaseLog(database)
    return KafkaLog(request.getfixturevalue("broker").bootstrap_servers, client=request.param)


@pytest.fixture
def seed(capsys: pytest.CaptureFixture[str]) -> int:
    """Return LOGPIPE_SEED, or a seed nobody had before; it is printed."""
    number = int(os.environ.get("LOGPIPE_SEED") or secrets.randbelow(2**32))
    with capsys.disabled():
        sys.stdout.write(f" LOGPIPE_SEED={number} ")
        sys.stdout.flush()
    return number


@pytest.fixture
def make_world(database: str, seed: int, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that makes this test's world; it ends with the test."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(**{"url": database, "seed": seed, "folder": tmp_path, **options}))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


@pytest.fixture
def soak_seconds() -> Callable[[float], float]:
    """Return how long to hurt: what the test says, or LOGPIPE_SOAK_SECONDS."""
    return lambda seconds: float(os.environ.get("LOGPIPE_SOAK_SECONDS") or seconds)
