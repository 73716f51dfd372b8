"""A KRaft node's configuration: broker and controller in one process, everything on 127.0.0.1."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LOGGING = """\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %p %m (%c{1})%n
"""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a client of the SASL listener says of itself: mechanism PLAIN."""

    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A door of the broker: clients that come through it are sent to the advertised port."""

    name: str
    port: int
    advertised_port: int
    security_protocol: str = "PLAINTEXT"

    @property
    def address(self) -> str:
        return f"{self.name}://127.0.0.1:{self.port}"

    @property
    def advertised_address(self) -> str:
        return f"{self.name}://127.0.0.1:{self.advertised_port}"


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """
    One node of a cluster.

    Args:
        voters: The controller's port of every node of the cluster, by the node's number.
        listeners: The doors for clients; brokers talk to each other through the first.
        replicas: The replication factor of new topics and of Kafka's own.
        keystore: The SASL listener's private key and certificate chain (PEM); with one it speaks TLS.
        overrides: Any of the broker's keys; they win.
    """

    node_id: int
    voters: Mapping[int, int]
    listeners: tuple[Listener, ...]
    replicas: int
    credentials: Credentials | None
    overrides: Mapping[str, str]
    keystore: Path | None = None

    def properties(self, data_folder: Path) -> dict[str, str]:
        """The broker's keys and values."""
        return {
            **self._network(),
            **self._topics(),
            **self._haste(),
            **self._sasl(),
            **self._tls(),
            "log.dirs": str(data_folder / "log"),
            **self.overrides,
        }

    def _network(self) -> dict[str, str]:
        protocols = ["CONTROLLER:PLAINTEXT", *(f"{door.name}:{door.security_protocol}" for door in self.listeners)]
        controller = f"CONTROLLER://127.0.0.1:{self.voters[self.node_id]}"
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in self.voters.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": self.listeners[0].name,
            "listener.security.protocol.map": ",".join(protocols),
            "listeners": ",".join([controller, *(door.address for door in self.listeners)]),
            "advertised.listeners": ",".join(door.advertised_address for door in self.listeners),
        }

    def _topics(self) -> dict[str, str]:
        in_sync = str(max(1, self.replicas - 1))
        return {
            "default.replication.factor": str(self.replicas),
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": str(self.replicas),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": str(self.replicas),
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": str(self.replicas),
            "share.coordinator.state.topic.min.isr": in_sync,
        }

    def _haste(self) -> dict[str, str]:
        """Return what lets things happen in seconds, with few threads and small caches."""
        # The others notice soon that one was killed. One that is alone would fence itself whenever it is held up.
        among_others = {"broker.session.timeout.ms": "3000"} if len(self.voters) > 1 else {}
        return {
            **among_others,
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            "group.consumer.min.session.timeout.ms": "500",
            "group.consumer.min.heartbeat.interval.ms": "100",
            "broker.heartbeat.interval.ms": "500",
            "controller.quorum.election.timeout.ms": "500",
            "controller.quorum.fetch.timeout.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "4194304",
        }

    def _sasl(self) -> dict[str, str]:
        if self.credentials is None:
            return {}
        user, password = self.credentials.username, self.credentials.password
        return {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": (
                f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";'
            ),
        }

    def _tls(self) -> dict[str, str]:
        if self.keystore is None:
            return {}
        door = "listener.name.sasl"
        return {f"{door}.ssl.keystore.type": "PEM", f"{door}.ssl.keystore.location": str(self.keystore)}


def write_config(config: NodeConfig, data_folder: Path) -> None:
    """Write ``server.properties`` and ``log4j2.properties`` into the folder."""
    lines = (f"{key}={value}\n" for key, value in config.properties(data_folder).items())
    (data_folder / "server.properties").write_text("".join(lines))
    (data_folder / "log4j2.properties").write_text(_LOGGING)
