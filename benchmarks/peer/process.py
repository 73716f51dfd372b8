"""A process of django-logpipe's, asked over its standard input for one round after the other."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peer.environment import interpreter

SERVE = Path(__file__).parent / "project" / "serve.py"
FOREIGN = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")


class DjangoLogpipe:
    """A context manager around the process."""

    def __init__(self, bootstrap_servers: str, database_url: str, *, backend: str = "kafka") -> None:
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self._environment = {
            **own,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "DATABASE_URL": database_url,
            "PEER_BACKEND": backend,
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> DjangoLogpipe:
        self._process = subprocess.Popen(
            [interpreter(), SERVE], env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]

    def rows_per_second(self, what: str, **details: Any) -> float:
        """Let it `send` or `consume` rows, and return how many it did a second."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"django-logpipe's process ended while it was to {what} {details}; see above.")
        return float(json.loads(answer)["rows_per_second"])
