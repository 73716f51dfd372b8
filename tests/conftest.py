"""Fixtures that every room's tests share: real services, settings of this package, and a clean in-memory log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol
from unittest.mock import patch

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.contrib.contenttypes.management import create_contenttypes
from django.core.management.commands import flush
from django.db.models.signals import post_migrate

from testproject.services import ServiceUnavailable, provided_kafka, provided_kinesis, provided_postgres

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

MADE_BY_MIGRATE = {"django_content_type", "auth_permission"}
VENDORS = {"postgres": "postgresql", "mariadb": "mysql"}


@contextmanager
def service_or_skip(service: AbstractContextManager[str]) -> Iterator[str]:
    """Run a service; where its parts are missing, skip on a laptop and fail where CI=true."""
    try:
        address = service.__enter__()
    except ServiceUnavailable as error:
        missing_service(error)
    try:
        yield address
    finally:
        service.__exit__(None, None, None)


def missing_service(error: ServiceUnavailable) -> NoReturn:
    """Skip on a laptop, fail where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def _no_client_outlives_its_broker() -> Iterator[None]:
    """Give up the Kafka clients behind each module: they would look for brokers that are gone, for ever."""
    yield
    for name in ("logpipe_signals.backend.kafka.client", "logpipe_signals.backend.confluent.client"):
        if module := sys.modules.get(name):
            for client in module.current_clients():
                getattr(client, "abandon", client.close)()


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """Return the bootstrap servers of a real Kafka, started once a session; topics get three partitions."""
    with service_or_skip(provided_kafka(num_partitions=3)) as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture(scope="session")
def kinesis_endpoint() -> Iterator[str]:
    """Return the URL of a kinesis-mock, started once a session, with credentials that it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, os.environ.get(name, "any"))
        with service_or_skip(provided_kinesis(config={"SHARD_LIMIT": "10000"})) as endpoint_url:
            yield endpoint_url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the address of a real PostgreSQL, the one under the tests where there is one."""
    with service_or_skip(provided_postgres()) as url:
        yield url


class ChangeSettings(Protocol):
    """Changes `LOGPIPE` keys for the rest of the test."""

    def __call__(self, **changes: Any) -> None: ...


@pytest.fixture
def logpipe_settings() -> Iterator[ChangeSettings]:
    """Return a function that changes keys of `settings.LOGPIPE`: `logpipe_settings(RELAY="worker")`."""
    before = django_settings.LOGPIPE

    def change(**changes: Any) -> None:
        django_settings.LOGPIPE = {**django_settings.LOGPIPE, **changes}

    yield change
    django_settings.LOGPIPE = before


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits for a condition, and fails when it does not come within ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come"
            time.sleep(0.01)

    return wait


@pytest.fixture(autouse=True)
def _empty_dummy_topics() -> Iterator[None]:
    yield
    if dummy := sys.modules.get("logpipe_signals.backend.dummy"):
        dummy.reset_topics()


@pytest.fixture(autouse=True)
def _no_sweeper_outlives_its_test() -> Iterator[None]:
    """A sweeper of one test would send what another has pending, and hold its tables while they are emptied."""
    yield
    if inline := sys.modules.get("logpipe_signals.publishing.inline"):
        inline.sweeper.stop()
        inline.breaker.reset()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Let content types and permissions stay when tests empty their tables: making them anew took half of the time."""
    post_migrate.disconnect(create_contenttypes)
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    with patch.object(flush, "sql_flush", _sql_that_empties_the_rest):
        yield


def _sql_that_empties_the_rest(style: Any, connection: Any, **options: Any) -> list[str]:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return list(connection.ops.sql_flush(style, [name for name in tables if name not in MADE_BY_MIGRATE], **options))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Put SQLite's test databases into files, where threads and processes meet as they do outside of tests."""
    folder: Path = tmp_path_factory.mktemp("databases")
    for alias, database in django_settings.DATABASES.items():
        if database["ENGINE"].endswith("sqlite3"):
            database.setdefault("TEST", {})["NAME"] = str(folder / f"{alias}.sqlite3")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_what_only_sqlite_has(config, items)
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")
        if "kinesis_endpoint" in getattr(item, "fixturenames", ()) or "kinesis" in _log_of(item):
            item.add_marker("kinesis")
        _skip_on_another_database(item)


def _leave_out_what_only_sqlite_has(config: pytest.Config, items: list[pytest.Item]) -> None:
    if django_settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return
    elsewhere = [item for item in items if item.get_closest_marker("sqlite")]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]


def _log_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("log", "")) if callspec is not None else ""


def _skip_on_another_database(item: pytest.Item) -> None:
    """A test of one database's own behaviour that uses Django's connection needs that database under it."""
    if item.get_closest_marker("django_db") is None:
        return
    engine = django_settings.DATABASES["default"]["ENGINE"]
    for marker, vendor in VENDORS.items():
        if item.get_closest_marker(marker) and not engine.endswith(vendor):
            item.add_marker(pytest.mark.skip(reason=f"runs under LOGPIPE_TEST_DATABASE={marker}"))
