"""The smallest service there is, for the tests of what all services do alike."""

import sys

from logpipe_signals.testing.services.process import ServiceProcess
from logpipe_signals.testing.services.service import Service
from testproject.services import free_port


class WebServer(Service):
    """Python's own web server, over its data folder."""

    name = "The web server"
    ready_words = "Serving HTTP"
    port = 0

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def choose_ports(self) -> None:
        self.port = free_port()

    def prepare(self) -> None:
        (self.data_folder / "kept.txt").touch()

    def spawn(self) -> ServiceProcess:
        command = [sys.executable, "-u", "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        return ServiceProcess(command, log_path=self.log_path, folder=self.data_folder)
