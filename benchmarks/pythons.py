"""Python processes of a run, one a side: what they are asked and what they answer is JSON, a line each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Other:
    """A process of ours that was started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Return the process's number."""
        return self._process.pid

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def ask(self, **what: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self.report()

    def report(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended without a report; see above.")
        return dict(json.loads(line))


@contextmanager
def running(module: str, *arguments: object) -> Iterator[Other]:
    """Run one of our modules in a process of its own until the block ends."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Other(process)
        finally:
            process.terminate()


def peak_megabytes(pid: int | str = "self") -> float:
    """Return a program's own peak; `ru_maxrss` counts the process too that it was forked from."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def tell(**report: Any) -> None:
    """Print a report, on the other end of the pipe."""
    print(json.dumps(report), flush=True)


def answer(do: Callable[..., Mapping[str, Any]]) -> None:
    """Answer whatever is asked, on the other end of the pipe."""
    for line in sys.stdin:
        tell(**do(**json.loads(line)))
