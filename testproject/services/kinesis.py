"""Two stand-ins for AWS Kinesis: kinesis-mock, whose shards split, merge and end, and moto, which is quicker."""

import signal
import sys
from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable, missing_package
from logpipe_signals.testing.services.ports import free_ports
from logpipe_signals.testing.services.process import ServiceProcess
from logpipe_signals.testing.services.service import Service
from testproject.services.npm import installed_package, node_folder

KINESIS_LOCAL = "0.6.2"
_STATE_CHANGES = ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")


class _KinesisService(Service):
    """Something that speaks Kinesis over HTTP and keeps its streams in memory: an end of any kind empties it."""

    name = "Kinesis"
    stop_signal = signal.SIGKILL  # nothing is lost by it, and kinesis-mock takes no notice of SIGTERM
    _ports: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        """The port of its HTTP."""
        if not self._ports:
            raise ServiceFailed(f"{self.name} has no port before start().")
        return self._ports[0]

    @property
    def ports(self) -> list[int]:
        return list(self._ports)

    @property
    def endpoint_url(self) -> str:
        """What boto3 takes as endpoint_url; region and credentials may be anything."""
        return f"http://127.0.0.1:{self.port}"

    def choose_ports(self) -> None:
        self._ports = tuple(free_ports(2))

    def prepare(self) -> None:
        """Nothing: all is in memory."""

    @abstractmethod
    def spawn(self) -> ServiceProcess: ...


class KinesisMock(_KinesisService):
    """
    kinesis-mock: split, merge, child shards and closed shards that end. About 60 single puts a second.

    Args:
        config: Any of its environment variables, ``{"SHARD_LIMIT": "100"}``.
    """

    name = "kinesis-mock"
    ready_words = "persist loop not started"  # the last thing it does

    def __init__(self, *, config: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._config = config or {}

    def spawn(self) -> ServiceProcess:
        plain_port, tls_port = self._ports
        environment = {
            "KINESIS_MOCK_PLAIN_PORT": str(plain_port),
            "KINESIS_MOCK_TLS_PORT": str(tls_port),
            "LOG_LEVEL": "INFO",  # says when it is ready
            **{f"{change}_DURATION": "20ms" for change in _STATE_CHANGES},
            **self._config,
        }
        package = _installed_kinesis_local()  # it looks for its certificate in its working directory
        return ServiceProcess(
            [node_folder() / "bin" / "node", "main.js"],
            log_path=self.log_path,
            folder=package,
            environment=environment,
        )


class MotoServer(_KinesisService):
    """moto's server: quick, but a closed shard of its never ends, so no test of resharding can rest on it."""

    name = "moto"
    ready_words = "Running on"

    def spawn(self) -> ServiceProcess:
        if find_spec("moto") is None or find_spec("flask") is None:
            raise missing_package(self.name, "moto[server]")
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        return ServiceProcess(command, log_path=self.log_path, folder=self.data_folder)


def _installed_kinesis_local() -> Path:
    """The package's folder in the user's cache; npm fetches it the first time."""
    try:
        return installed_package("kinesis-local", KINESIS_LOCAL)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"kinesis-mock cannot be started; KINESIS_ENDPOINT_URL may name another. {error}"
        ) from error
