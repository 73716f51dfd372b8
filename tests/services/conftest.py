"""The services room's own tests start each service for real, once a module."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from logpipe_signals.testing.services.service import Service
from testproject.services import ServiceUnavailable

# MariaDB comes with Debian's package, not with pip: where it is not installed, its tests are not asked for.
MARIADB_IS_INSTALLED = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None
collect_ignore = [] if MARIADB_IS_INSTALLED else ["test_mariadb.py"]


def pytest_report_header() -> list[str]:
    if MARIADB_IS_INSTALLED:
        return []
    return ["MariaDB is not installed: tests/services/test_mariadb.py is left out (apt-get install mariadb-server)"]


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Service], Service]]:
    """Start a service for the module; a missing part skips on a laptop and fails in CI."""
    with ExitStack() as stack:

        def started(service: Service) -> Service:
            try:
                return stack.enter_context(service)
            except ServiceUnavailable as error:
                if os.environ.get("CI"):
                    raise
                pytest.skip(str(error))

        yield started
