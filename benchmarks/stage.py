"""
The stage of a run: a Kafka, PostgreSQL databases of its own, Django over them, and the peer's processes.

Services come from the environment where it names them (KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL), else they are started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from benchmarks.options import Options
from testproject.services import provided_kafka, provided_postgres

if TYPE_CHECKING:
    from benchmarks.peer.process import DjangoLogpipe

PARTITIONS = 3
SIDES = {"default": "", "subscriber": "_subscriber", "deep": "_deep"}
"""Databases by alias, and what their names end with."""


class Stage:
    """What a measurement needs. Whatever it starts ends with the run."""

    def __init__(self, options: Options, stack: ExitStack, *, bootstrap_servers: str, database_url: str) -> None:
        self.options = options
        self.bootstrap_servers = bootstrap_servers
        self.database_url = database_url
        self.subscriber_url = f"{database_url}_subscriber"
        self._stack = stack

    @cached_property
    def peer_publisher(self) -> DjangoLogpipe:
        """Return django-logpipe over the publisher's database."""
        return self._peer(self.database_url)

    @cached_property
    def peer_subscriber(self) -> DjangoLogpipe:
        """Return django-logpipe over the subscriber's database."""
        return self._peer(self.subscriber_url)

    def say(self, text: str) -> None:
        """Tell who waits what is being done."""
        print(text, file=sys.stderr, flush=True)

    def _peer(self, database_url: str) -> DjangoLogpipe:
        from benchmarks.peer.process import DjangoLogpipe

        return self._stack.enter_context(DjangoLogpipe(self.bootstrap_servers, database_url))


@contextmanager
def stage(options: Options) -> Iterator[Stage]:
    """Start what is missing, set Django up over it, and put everything away afterwards."""
    with ExitStack() as stack:
        servers = stack.enter_context(provided_kafka(num_partitions=PARTITIONS))
        url = stack.enter_context(_databases(stack.enter_context(provided_postgres())))
        os.environ |= {
            "DATABASE_URL": url,
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "LOGPIPE_BACKEND": "kafka",
            "LOGPIPE_RELAY": "worker",
            "LOGPIPE_LOG_LEVEL": "ERROR",
            "KAFKA_LOG_LEVEL": "CRITICAL",
        }
        stack.callback(_close_connections)
        _set_up_django()
        yield Stage(options, stack, bootstrap_servers=servers, database_url=url)


@contextmanager
def _databases(server_url: str) -> Iterator[str]:
    """Make the databases of all sides, and yield the publisher's address."""
    name = f"logpipe_bench_{uuid4().hex[:8]}"
    names = [f"{name}{side}" for side in SIDES.values()]
    with psycopg.connect(server_url, autocommit=True) as connection:
        for each in names:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(each)))
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            for each in names:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(each)))


def _set_up_django() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    for alias in SIDES:
        call_command("migrate", database=alias, verbosity=0)


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()
