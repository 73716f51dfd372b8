"""Python processes of a run: their output is JSON, a line each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

START_SECONDS = 60.0


class Reporter:
    """A process that was started, and the reports it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def report(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended without a report; see above.")
        return dict(json.loads(line))


@contextmanager
def running(module: str, *arguments: object) -> Iterator[Reporter]:
    """Run one of our modules in a process of its own until the block ends."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Reporter(process)
        finally:
            process.terminate()


def tell(**report: Any) -> None:
    """Print a report, on the other end of the pipe."""
    print(json.dumps(report), flush=True)
