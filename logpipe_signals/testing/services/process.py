"""One process of a service: started with a log, in a session of its own, watched by the reaper."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from logpipe_signals.testing.services import reaper
from logpipe_signals.testing.services.errors import ServiceFailed
from logpipe_signals.testing.services.ports import wait_until

_KILL_WAIT_SECONDS = 30
_OUTPUT_TAIL_CHARACTERS = 2_000


def run_to_end(command: Sequence[str | Path], *, folder: Path, failed: str, user_id: int | None = None) -> None:
    """
    Run a tool that prepares a service.

    Args:
        command: The program and its arguments.
        folder: Its working directory.
        failed: What the error says when it ends badly, before its output.
        user_id: The user and group to run as, where that is not ours.

    Raises:
        ServiceFailed: It ended with an error.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=user_id,
        group=user_id,
        extra_groups=None if user_id is None else [],
    )
    if done.returncode != 0:
        raise ServiceFailed(f"{failed}\n{(done.stdout + done.stderr)[-_OUTPUT_TAIL_CHARACTERS:]}")


class ServiceProcess:
    """
    A running process whose output goes to a log file.

    Args:
        command: The program and its arguments.
        log_path: Where its output is appended.
        folder: Its working directory.
        environment: Added to ours.
        user_id: The user and group to run as, where that is not ours.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        user_id: int | None = None,
    ) -> None:
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user_id,
                group=user_id,
                extra_groups=None if user_id is None else [],
            )
        reaper.watch_process(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        if self.is_running:
            self._process.send_signal(signal_number)

    def kill(self) -> None:
        """SIGKILL the process and its group, and wait for its end."""
        if self.is_running:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(_KILL_WAIT_SECONDS)
        reaper.forget_process(self.pid)

    def stop(self, *, with_signal: signal.Signals = signal.SIGTERM, timeout_seconds: float = 20) -> None:
        """Ask the process to end, kill it when it does not, and wait for its end."""
        self.send(with_signal)
        self.send(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        self.kill()


class Descendant:
    """A process that a service's process has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal_number)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.send(signal.SIGKILL)

    def wait(self, timeout_seconds: float = _KILL_WAIT_SECONDS) -> None:
        """Wait for its end."""
        wait_until(lambda: _parent_of(self.pid) is None, timeout_seconds=timeout_seconds)


def descendants(pid: int) -> list[Descendant]:
    """What this process has started itself and still runs (Linux: read from /proc)."""
    numbers = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [Descendant(number) for number in numbers if _parent_of(number) == pid]


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]  # the name before may hold anything
    return None if state == "Z" else int(parent)
