"""A PostgreSQL that the scenarios may hurt, and a field for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testproject.services import PostgresServer
from tests.conftest import service_or_skip
from tests.scenarios.consuming.field import Field

MakeField = Callable[..., Field]


@pytest.fixture(scope="session")
def hurt_postgres() -> Iterator[PostgresServer]:
    """Return a PostgreSQL of the scenarios' own."""
    server = PostgresServer()
    with service_or_skip(_Address(server)):
        yield server


@pytest.fixture
def make_field(hurt_postgres: PostgresServer, tmp_path: Path) -> Iterator[MakeField]:
    """Return a function that makes the field of a scenario; the embedded log is its log unless told otherwise."""
    fields: list[Field] = []

    def make(**log: str) -> Field:
        fields.append(Field(hurt_postgres, tmp_path, log=log))
        return fields[-1]

    yield make
    for field in fields:
        field.close()


class _Address:
    """A server as `service_or_skip` takes it: a context manager of its address."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def __enter__(self) -> str:
        self._server.start()
        return self._server.url

    def __exit__(self, *error: object) -> None:
        self._server.stop()


KAFKA_SETTINGS = {"KAFKA_CONSUMER_KWARGS": {"session_timeout_ms": 6000, "heartbeat_interval_ms": 1000}}


@pytest.fixture(params=["embedded log", "kafka", "confluent"])
def field(request: pytest.FixtureRequest, make_field: MakeField) -> Field:
    """Return a field on each log."""
    if request.param == "embedded log":
        return make_field()
    servers = request.getfixturevalue("kafka_broker")
    settings = json.dumps(KAFKA_SETTINGS)
    return make_field(LOGPIPE_BACKEND=request.param, KAFKA_BOOTSTRAP_SERVERS=servers, LOGPIPE_SETTINGS=settings)
