"""Addresses of services: from the environment where it names one, else one is started for as long as it is needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from logpipe_signals.testing.services.kafka import KafkaBroker
from testproject.services.kinesis import KinesisMock
from testproject.services.mariadb import MariaDBServer
from testproject.services.postgres import PostgresServer

_POSTGRES_SCHEMES = ("postgres:", "postgresql:", "pgsql:", "postgis:")
_MARIADB_SCHEMES = ("mysql:", "mariadb:")


@contextmanager
def provided_kafka(**broker_options: Any) -> Iterator[str]:
    """
    Yield bootstrap servers: KAFKA_BOOTSTRAP_SERVERS, else those of a broker started with these options.

    Raises:
        ServiceUnavailable: None is named, and a part that a broker needs is missing.
    """
    if named := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield named
        return
    with KafkaBroker(**broker_options) as broker:
        yield broker.bootstrap_servers


@contextmanager
def provided_postgres(**options: Any) -> Iterator[str]:
    """Yield a ``postgresql://`` address: DATABASE_URL if it is one, else a started server's."""
    if named := _database_url(_POSTGRES_SCHEMES):
        yield named
        return
    with PostgresServer(**options) as server:
        yield server.url


@contextmanager
def provided_mariadb(**options: Any) -> Iterator[str]:
    """Yield a ``mysql://`` address: DATABASE_URL if it is one, else a started server's."""
    if named := _database_url(_MARIADB_SCHEMES):
        yield named
        return
    with MariaDBServer(**options) as server:
        yield server.url


@contextmanager
def provided_kinesis(**options: Any) -> Iterator[str]:
    """Yield an endpoint's URL: KINESIS_ENDPOINT_URL, else that of a kinesis-mock started with these options."""
    if named := os.environ.get("KINESIS_ENDPOINT_URL"):
        yield named
        return
    with KinesisMock(**options) as mock:
        yield mock.endpoint_url


def _database_url(schemes: tuple[str, ...]) -> str | None:
    named = os.environ.get("DATABASE_URL", "")
    return named if named.startswith(schemes) else None
