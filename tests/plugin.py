"""
Chooses the database under the tests before Django reads its settings (loaded by `-p tests.plugin`).

`--database` (or LOGPIPE_TEST_DATABASE) is `sqlite` (the default), `postgres` or `mariadb`. The last two start a server
from packages unless DATABASE_URL names one already; both sides of the test project then live on it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from testproject.services import ServiceUnavailable, provided_mariadb, provided_postgres

CHOICE = "LOGPIPE_TEST_DATABASE"
SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "postgres": provided_postgres,
    "mariadb": provided_mariadb,
}

_running = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", *SERVERS],
        default=os.environ.get(CHOICE, "sqlite"),
        help="the database under the tests",
    )
    parser.addoption("--screenshots", metavar="FOLDER", help="where the browser tests write pictures of the pages")


# Outermost, because pytest-django reads the settings in this very hook.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    if "TESTPROJECT_DATA_DIR" not in os.environ:
        os.environ["TESTPROJECT_DATA_DIR"] = _running.enter_context(tempfile.TemporaryDirectory(prefix="logpipe-"))
    os.environ.setdefault("LOGPIPE_TEST_APPS", "1")
    choice = early_config.known_args_namespace.database
    os.environ[CHOICE] = choice  # for the processes that tests start
    if choice in SERVERS:
        _provide(choice)
    try:
        return (yield)
    except BaseException:  # pytest_unconfigure does not come then
        _running.close()
        raise


def pytest_unconfigure() -> None:
    _running.close()


def _provide(choice: str) -> None:
    try:
        os.environ["DATABASE_URL"] = _running.enter_context(SERVERS[choice]())
    except ServiceUnavailable as error:
        raise pytest.UsageError(f"{CHOICE}={choice}: {error}") from error
