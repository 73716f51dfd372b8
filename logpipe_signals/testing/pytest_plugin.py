"""
The pytest plugin: fixtures for a project's own tests. It loads by itself where the package is installed.

    capture_published    `with capture_published() as published:`, what the block would publish
    logpipe_log          a log in memory under relay and consumer, with faults
    logpipe_settings     changes keys of settings.LOGPIPE for the rest of the test
    logpipe_kafka        the bootstrap servers of a real Apache Kafka, started once a session

Nothing of Django is imported before a test asks for a fixture, so that it does no harm in a session without Django.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from logpipe_signals.testing.conformance.log import ChangeSettings
    from logpipe_signals.testing.memory import MemoryLog
    from logpipe_signals.testing.published import Published

NEEDS = "needs(what): a promise of the conformance suite about something that not every log has"


def pytest_configure(config: pytest.Config) -> None:
    """Make the suite's marker known."""
    config.addinivalue_line("markers", NEEDS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Skip a promise about what the log under test does not have."""
    lacks = getattr(pyfuncitem.funcargs.get("log"), "lacks", ())
    needs = {need for marker in pyfuncitem.iter_markers("needs") for need in marker.args}
    if missing := sorted(needs & set(lacks)):
        pytest.skip(f"This log has no {', '.join(missing)}.")


@pytest.fixture
def capture_published() -> Callable[..., AbstractContextManager[Published]]:
    """Return `logpipe_signals.testing.capture_published`; the test needs the database (`db` or `transactional_db`)."""
    from logpipe_signals.testing.capturing import capture_published

    return capture_published


@pytest.fixture
def logpipe_log() -> Iterator[MemoryLog]:
    """Put the log of the test into memory (`logpipe_signals.testing.in_memory_log`)."""
    from logpipe_signals.testing.memory import in_memory_log

    with in_memory_log() as log:
        yield log


@pytest.fixture
def logpipe_settings() -> Iterator[ChangeSettings]:
    """Return a function that changes keys of `settings.LOGPIPE`: `logpipe_settings(RELAY="worker")`."""
    from django.conf import settings

    is_set = hasattr(settings, "LOGPIPE")
    before: dict[str, Any] = getattr(settings, "LOGPIPE", {})

    def change(**changes: Any) -> None:
        settings.LOGPIPE = {**getattr(settings, "LOGPIPE", {}), **changes}

    yield change
    if is_set:
        settings.LOGPIPE = before
    elif hasattr(settings, "LOGPIPE"):
        del settings.LOGPIPE


@pytest.fixture(scope="session")
def logpipe_kafka() -> Iterator[str]:
    """
    Return the bootstrap servers of a real Apache Kafka, started once a session; topics get three partitions.

    KAFKA_BOOTSTRAP_SERVERS names another. Where a part is missing the test is skipped, and fails under CI=true.
    """
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield servers
        return
    from logpipe_signals.testing.services import KafkaBroker, ServiceUnavailable

    broker = KafkaBroker(num_partitions=3)
    try:
        broker.start()
    except ServiceUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    try:
        yield broker.bootstrap_servers
    finally:
        broker.stop()
