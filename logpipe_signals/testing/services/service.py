"""What every service does the same way: its folder, its log, start, stop, kill, restart."""

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from logpipe_signals.testing.services import reaper
from logpipe_signals.testing.services.errors import ServiceFailed, failure, log_tail
from logpipe_signals.testing.services.ports import accepts_connections, is_free, wait_until
from logpipe_signals.testing.services.process import ServiceProcess

_START_ATTEMPTS = 5


class Service(ABC):
    """
    One process with its data in a folder. A subclass says how it is prepared and spawned, and what it logs when ready.

    Args:
        data_folder: Where it keeps its data, which then stays; without one, a temporary folder that goes at stop().
    """

    name = "The service"
    stop_signal = signal.SIGTERM
    stop_seconds: float = 20
    ready_seconds: float = 60
    # What it logs when it listens. A port that accepts connections would not do: it may be another's.
    ready_words: str
    port_taken_words: tuple[str, ...] = ("Address already in use", "EADDRINUSE")

    def __init__(self, *, data_folder: Path | None = None) -> None:
        self._given_folder = data_folder
        self._folder: Path | None = None
        self._process: ServiceProcess | None = None
        self._log_size_at_spawn = 0

    # -- what a subclass says --------------------------------------------------------------------------------

    @abstractmethod
    def choose_ports(self) -> None:
        """Set the ports to listen on; asked again when they turn out to be taken."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder ready for a first start."""

    @abstractmethod
    def spawn(self) -> ServiceProcess:
        """Start the process."""

    @property
    @abstractmethod
    def ports(self) -> list[int]:
        """The ports that it listens on; the first is the one for clients."""

    # -- what all do -----------------------------------------------------------------------------------------

    @property
    def data_folder(self) -> Path:
        """The folder with the data, the configuration and the log."""
        if self._folder is None:
            raise ServiceFailed(f"{self.name} has no folder before start().")
        return self._folder

    @property
    def log_path(self) -> Path:
        """The file with the output of its process."""
        return self.data_folder / "service.log"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether its process exists, frozen or not."""
        return self._process is not None and self._process.is_running

    def start(self) -> Self:
        """
        Start it and wait until it answers.

        Raises:
            ServiceUnavailable: A part is missing.
            ServiceFailed: It did not come up.
        """
        if self.is_running:
            return self
        if self._folder is not None:
            self._start_again()
            return self
        self._folder = self._make_folder()
        try:
            self._start_on_free_ports()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, keep_data: bool = False) -> None:
        """End it gracefully; a temporary folder goes with it, unless the data are kept for restart()."""
        if self._process is not None:
            self._process.stop(with_signal=self.stop_signal, timeout_seconds=self.stop_seconds)
        if not keep_data:
            self._process = None
            self._remove_folder()

    def kill(self) -> None:
        """End it with SIGKILL; the data stay for restart()."""
        if self._process is not None:
            self._process.kill()

    def is_ready(self) -> bool:
        """Whether it answers."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_size_at_spawn)
            return self.ready_words.encode() in log.read() and accepts_connections(self.ports[0])

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after freeze()."""
        self._running().send(signal.SIGCONT)

    def restart(self) -> None:
        """End it gracefully if it runs, and start it on the same data and ports."""
        self.stop(keep_data=True)
        self.start()

    def wait_until_ready(self, timeout_seconds: float | None = None) -> None:
        """
        Wait until it answers.

        Raises:
            ServiceFailed: Its process ended, or it did not answer within the time.
        """
        seconds = self.ready_seconds if timeout_seconds is None else timeout_seconds
        settled = wait_until(lambda: not self.is_running or self.is_ready(), timeout_seconds=seconds)
        if not self.is_running:
            raise failure(self.name, "ended while it was starting", self.log_path)
        if not settled:
            raise failure(self.name, f"did not answer within {seconds:g} s", self.log_path)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- how -------------------------------------------------------------------------------------------------

    def _start_on_free_ports(self) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            self.choose_ports()
            self.prepare()
            self._spawn()
            try:
                self.wait_until_ready()
            except ServiceFailed:
                self.kill()
                if attempt == _START_ATTEMPTS or not self._port_was_taken():
                    raise
            else:
                return

    def _start_again(self) -> None:
        # What was just killed may hold its ports a moment longer.
        wait_until(lambda: all(map(is_free, self.ports)), timeout_seconds=10)
        self._spawn()
        self.wait_until_ready()

    def _spawn(self) -> None:
        self._log_size_at_spawn = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._process = self.spawn()

    def _port_was_taken(self) -> bool:
        text = log_tail(self.log_path)
        return any(words in text for words in self.port_taken_words)

    def _make_folder(self) -> Path:
        if self._given_folder is not None:
            self._given_folder.mkdir(parents=True, exist_ok=True)
            return self._given_folder
        folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        reaper.watch_folder(folder)
        return folder

    def _remove_folder(self) -> None:
        if self._folder is not None and self._given_folder is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            reaper.forget_folder(self._folder)
        self._folder = None

    def _running(self) -> ServiceProcess:
        if self._process is None or not self._process.is_running:
            raise ServiceFailed(f"{self.name} is not running. Call start() or restart() first.")
        return self._process
