"""One command gives a developer all services, and the project running on them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from logpipe_signals.testing.services.ports import free_port
from tests.acceptance.project import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_all_of_it_runs_and_ends_with_control_c() -> None:
    own = ("LOGPIPE", "DJANGO", "DATABASE_URL", "TESTPROJECT", "KAFKA")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    port = free_port()
    command = [sys.executable, "manage.py", "develop", "--backend", "database", "--port", str(port)]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/logpipe/live"):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}/admin/ (admin, admin)" in told
    assert "export DATABASE_URL='postgresql://" in told
