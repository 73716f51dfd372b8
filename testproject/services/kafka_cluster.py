"""A real cluster of Kafka brokers: each a Java process of its own, every topic on all of them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from logpipe_signals.testing.services.errors import ServiceFailed, missing_package
from logpipe_signals.testing.services.kafka import KafkaBroker
from logpipe_signals.testing.services.ports import free_ports, wait_until

_START_ATTEMPTS = 3
_ELECTION_SECONDS = 30


class _Node(KafkaBroker):
    """A broker that is told by its cluster who votes."""

    def choose_ports(self) -> None:
        self.choose_listeners()


class KafkaCluster:
    """
    Several brokers; with three, every topic has three replicas, two of which have to confirm (min.insync.replicas=2).

    Args:
        size: How many nodes; they are numbered from 1.
        num_partitions: Of a topic that is created without saying how many.
        config: Any of the brokers' own keys, for all of them.
    """

    def __init__(self, *, size: int = 3, num_partitions: int = 3, config: Mapping[str, str] | None = None) -> None:
        self._size = size
        self._num_partitions = num_partitions
        self._config = config
        self.brokers: dict[int, KafkaBroker] = {}

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all nodes, also of those that were killed."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    def start(self) -> Self:
        """Start every node and wait until all answer."""
        if self.brokers:
            return self
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start_on_free_ports()
            except BaseException as error:
                self.stop()
                if attempt == _START_ATTEMPTS or not isinstance(error, ServiceFailed):
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """End every node; their data go with them."""
        # A graceful end waits for the controllers' quorum, which would be gone after the first.
        for broker in self.brokers.values():
            broker.kill()
            broker.stop()
        self.brokers = {}

    def kill(self, node_id: int) -> None:
        """SIGKILL a node; its data stay for restart()."""
        self.brokers[node_id].kill()

    def freeze(self, node_id: int) -> None:
        """SIGSTOP a node."""
        self.brokers[node_id].freeze()

    def resume(self, node_id: int) -> None:
        """SIGCONT a node after freeze()."""
        self.brokers[node_id].resume()

    def restart(self, node_id: int) -> None:
        """Start a node on the same data and ports, ending it first if it runs."""
        self.brokers[node_id].restart()

    def wait_until_ready(self, timeout_seconds: float = 90) -> None:
        """Wait until every node that runs answers."""
        for broker in self.brokers.values():
            if broker.is_running:
                broker.wait_until_ready(timeout_seconds)

    def leader_of(self, topic: str, partition: int) -> int:
        """
        The number of the node that leads the partition, once one that runs does.

        Raises:
            ServiceFailed: No running node leads it within half a minute.
        """
        leader: int | None = None

        def is_led() -> bool:
            nonlocal leader
            leader = _ask_for_leader(self._running_servers(), topic, partition)
            return leader in self.brokers and self.brokers[leader].is_running

        if not wait_until(is_led, timeout_seconds=_ELECTION_SECONDS) or leader is None:
            raise ServiceFailed(
                f"No running broker leads partition {partition} of topic {topic!r} (last seen: {leader}). "
                "Check that the topic exists and that most nodes run."
            )
        return leader

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start_on_free_ports(self) -> None:
        voters = dict(enumerate(free_ports(self._size), start=1))
        for node_id in voters:
            self.brokers[node_id] = self._make_node(node_id, voters)
        with ThreadPoolExecutor(self._size) as pool:
            list(pool.map(KafkaBroker.start, self.brokers.values()))

    def _make_node(self, node_id: int, voters: Mapping[int, int]) -> KafkaBroker:
        node = _Node(num_partitions=self._num_partitions, config=self._config, heap_megabytes=256)
        node.node_id, node.voters, node.replicas = node_id, voters, self._size
        if node_id > 1:
            node.cluster_id = self.brokers[1].cluster_id
        return node

    def _running_servers(self) -> list[str]:
        return [broker.bootstrap_servers for broker in self.brokers.values() if broker.is_running]


def _ask_for_leader(bootstrap_servers: list[str], topic: str, partition: int) -> int | None:
    try:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError
    except ImportError as error:
        raise missing_package("KafkaCluster.leader_of()", "kafka-python") from error
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
        try:
            described = admin.describe_topics([topic])
        finally:
            admin.close()
    except KafkaError:
        return None  # asked again
    return _leader_in(described, partition)


def _leader_in(described: list[dict[str, Any]], partition: int) -> int | None:
    # kafka-python 3 says partition_index and leader_id, 2 says partition and leader.
    for topic in described:
        for each in topic.get("partitions", ()):
            if each.get("partition_index", each.get("partition")) == partition:
                leader: int | None = each.get("leader_id", each.get("leader"))
                return leader
    return None
