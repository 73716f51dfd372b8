"""A real Apache Kafka: one KRaft node, broker and controller in one Java process."""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from logpipe_signals.testing.services.errors import ServiceFailed
from logpipe_signals.testing.services.java import java_program, kafka_class_path
from logpipe_signals.testing.services.kafka_config import Credentials, Listener, NodeConfig, write_config
from logpipe_signals.testing.services.ports import free_port, free_ports
from logpipe_signals.testing.services.process import ServiceProcess, run_to_end
from logpipe_signals.testing.services.proxy import TcpProxy
from logpipe_signals.testing.services.service import Service

# For tests: up soon, and sparing with the cores that they share. A benchmark takes java_options=().
QUICK_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaBroker(Service):
    """
    A broker on 127.0.0.1.

    Args:
        num_partitions: Of a topic that is created without saying how many.
        auto_create_topics: Whether a topic comes into being when it is first asked for.
        config: Any of the broker's own keys; they win over what is set here.
        data_folder: Where it keeps its data, which then stays; without one, a temporary folder.
        heap_megabytes: The most that Java's heap may take.
        java_options: Options of the Java runtime.
        proxy: A second way in, ``proxied_bootstrap_servers``, leads through this proxy and stays on it; the direct
            way stays open. The proxy is started and stopped with the broker if it does not run.
        credentials: User and password of a third way in, ``sasl_bootstrap_servers`` (SASL_PLAINTEXT, PLAIN).
        keystore: That way's private key and certificate chain (see `certificates`): it is SASL_SSL then.
    """

    name = "Apache Kafka"
    ready_words = "Kafka Server started"
    port_taken_words = ("Address already in use", "failed to bind")

    def __init__(
        self,
        *,
        num_partitions: int = 1,
        auto_create_topics: bool = True,
        config: Mapping[str, str] | None = None,
        data_folder: Path | None = None,
        heap_megabytes: int = 384,
        java_options: Sequence[str] = QUICK_JAVA,
        proxy: TcpProxy | None = None,
        credentials: tuple[str, str] | None = None,
        keystore: Path | None = None,
    ) -> None:
        super().__init__(data_folder=data_folder)
        self._config = {
            "num.partitions": str(num_partitions),
            "auto.create.topics.enable": str(auto_create_topics).lower(),
            **(config or {}),
        }
        self._heap_megabytes = heap_megabytes
        self._java_options = java_options
        self._credentials = Credentials(username=credentials[0], password=credentials[1]) if credentials else None
        self._keystore = keystore
        self.proxy = proxy
        self.node_id = 1
        self.replicas = 1
        # A dash at its beginning would make it an option of the tool that formats the storage.
        self.cluster_id = urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        self.voters: Mapping[int, int] = {}
        self.listeners: tuple[Listener, ...] = ()

    # -- addresses -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port of the direct way in."""
        return self._listener("DIRECT", "start()").port

    @property
    def bootstrap_servers(self) -> str:
        """The direct way in."""
        return f"127.0.0.1:{self.port}"

    @property
    def proxied_bootstrap_servers(self) -> str:
        """The way in through the proxy."""
        return f"127.0.0.1:{self._listener('PROXIED', 'KafkaBroker(proxy=TcpProxy())').advertised_port}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """The way in that asks for the credentials."""
        return f"127.0.0.1:{self._listener('SASL', 'KafkaBroker(credentials=(user, password))').port}"

    @property
    def ports(self) -> list[int]:
        """The ports of all ways in, and the controller's."""
        return [*(listener.port for listener in self.listeners), self.voters[self.node_id]]

    def _listener(self, name: str, cure: str) -> Listener:
        for listener in self.listeners:
            if listener.name == name:
                return listener
        raise ServiceFailed(f"This broker has no {name} listener. It is made by {cure}.")

    # -- what Service asks for -------------------------------------------------------------------------------

    def choose_ports(self) -> None:
        self.voters = {self.node_id: free_port()}
        self.choose_listeners()

    def choose_listeners(self) -> None:
        """Set the ways in, on free ports."""
        direct, proxied, sasl = free_ports(3)
        self.listeners = (Listener(name="DIRECT", port=direct, advertised_port=direct),)
        if self.proxy is not None:
            self.proxy.start()
            self.proxy.target = ("127.0.0.1", proxied)
            self.listeners += (Listener(name="PROXIED", port=proxied, advertised_port=self.proxy.port),)
        if self._credentials is not None:
            protocol = "SASL_SSL" if self._keystore is not None else "SASL_PLAINTEXT"
            door = Listener(name="SASL", port=sasl, advertised_port=sasl, security_protocol=protocol)
            self.listeners += (door,)

    def prepare(self) -> None:
        write_config(
            NodeConfig(
                node_id=self.node_id,
                voters=self.voters,
                listeners=self.listeners,
                replicas=self.replicas,
                credentials=self._credentials,
                keystore=self._keystore,
                overrides=self._config,
            ),
            self.data_folder,
        )
        if not (self.data_folder / "log" / "meta.properties").exists():
            self._format()

    def spawn(self) -> ServiceProcess:
        return ServiceProcess(
            self._java("kafka.Kafka", "server.properties", heap_megabytes=self._heap_megabytes),
            log_path=self.log_path,
            folder=self.data_folder,
        )

    def stop(self, *, keep_data: bool = False) -> None:
        super().stop(keep_data=keep_data)
        if self.proxy is not None and not keep_data:
            self.proxy.stop()

    # -- how -------------------------------------------------------------------------------------------------

    def _format(self) -> None:
        command = self._java("kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", "server.properties")
        run_to_end(command, folder=self.data_folder, failed="Kafka's storage could not be formatted.")

    def _java(self, *arguments: str, heap_megabytes: int = 64) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.data_folder / 'log4j2.properties'}"
        memory = ["-Xms64m", f"-Xmx{heap_megabytes}m"]
        return [str(java_program()), *memory, *self._java_options, logging, "-cp", kafka_class_path(), *arguments]
