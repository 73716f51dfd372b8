"""The test project as its operator has it: databases in a folder, processes started, stopped and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 1.0
TIMEOUT_SECONDS = 120


@dataclass(kw_only=True)
class Project:
    """Both sides in one folder, on one log."""

    folder: Path
    changes: dict[str, str] = field(default_factory=dict)
    """Environment variables beside those of the machine."""

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a process: this machine's, without what the test session chose for itself."""
        own = ("LOGPIPE", "DJANGO", "DATABASE_URL", "TESTPROJECT")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {
            **kept,
            "DJANGO_SETTINGS_MODULE": "testproject.settings",
            "TESTPROJECT_DATA_DIR": str(self.folder),
            "LOGPIPE_SETTINGS": json.dumps({"LEASE_SECONDS": LEASE_SECONDS, "SWEEP_SECONDS": 60}),
            **self.changes,
            **changes,
        }

    def manage(self, *arguments: str, **changes: str) -> str:
        """Run a management command to its end, and return what it printed."""
        return self._run([sys.executable, "manage.py", *arguments], **changes).stdout

    def child(self, *arguments: str, **changes: str) -> Any:
        """Run a command of `child` to its end, and return its answer."""
        done = self._run([sys.executable, "-m", "tests.acceptance.child", *arguments], **changes)
        return json.loads(done.stdout.splitlines()[-1])

    def killed(self, point: str, *arguments: str, **changes: str) -> int:
        """Run a command of `child` that kills itself at a point, and return its exit code."""
        command = [sys.executable, "-m", "tests.acceptance.child", *arguments]
        return self._run(command, check=False, LOGPIPE_KILL_AT=point, **changes).returncode

    @contextmanager
    def running(self, *arguments: str, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a management command running; it gets a SIGTERM at the end and has to leave cleanly."""
        command = [sys.executable, "manage.py", *arguments]
        with subprocess.Popen(command, cwd=REPOSITORY, env=self.environment(**changes)) as process:
            try:
                yield process
                process.terminate()
                process.wait(timeout=30)
            finally:
                process.kill()

    def _run(self, command: list[str], *, check: bool = True, **changes: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        assert not check or done.returncode == 0, f"{command[1:]} ended with {done.returncode}:\n{done.stderr}"
        return done
