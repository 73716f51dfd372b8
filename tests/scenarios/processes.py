"""Processes of a scenario: Python programs that die with the tests, and can be killed, frozen and resumed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from logpipe_signals.testing.services.ports import wait_until
from logpipe_signals.testing.services.process import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """
    A Python program of the project, started as often as it is killed.

    Args:
        name: Names it in logs and reports.
        arguments: What follows `python`: `["manage.py", "run_relay"]`, `["-m", "tests.scenarios..."]`.
        environment: Added to ours.
        folder: Where its output goes, into `NAME.log`.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._command = [sys.executable, *arguments]
        self._environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        self._process: ServiceProcess | None = None
        self._should_run = False
        self.is_frozen = False

    @property
    def is_running(self) -> bool:
        """Tell whether its process exists, frozen or not."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        """Return its process's number; 0 before it was started."""
        return self._process.pid if self._process is not None else 0

    @property
    def has_crashed(self) -> bool:
        """Tell whether it ended without being told to."""
        return self._should_run and not self.is_running

    @property
    def output(self) -> str:
        """Return what it printed, over all of its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.is_running:
            return
        self._should_run = True
        self._process = ServiceProcess(
            self._command, log_path=self.log_path, folder=ROOT, environment=self._environment
        )

    def kill(self) -> None:
        """SIGKILL."""
        self._should_run = False
        if self._process is not None:
            self._process.kill()
        self.is_frozen = False

    def freeze(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)
        self.is_frozen = True

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)
        self.is_frozen = False

    def stop(self, *, timeout_seconds: float = 20) -> None:
        """SIGTERM, and SIGKILL when that does not end it."""
        self._should_run = False
        if self._process is not None:
            self._process.stop(timeout_seconds=timeout_seconds)
        self.is_frozen = False

    def wait(self, *, timeout_seconds: float) -> bool:
        """Wait for its end, and tell whether it came."""
        return wait_until(lambda: not self.is_running, timeout_seconds=timeout_seconds)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send(number)
