"""
Real services from packages alone: what the tests, the demo and the benchmarks stand on. No Django in here.

Every service is a context manager (``start()`` on entering, ``stop()`` on leaving), keeps its data in a folder of its
own (a temporary one that goes with it, unless ``data_folder=`` names one), listens on 127.0.0.1 on a free port, and
dies with the process that started it, even when that one is killed with SIGKILL. A service whose parts are missing
raises ``ServiceUnavailable`` with the cure; one that starts and fails raises ``ServiceFailed`` with the end of its log.

Ask for an address (from the environment where it names one, else a service is started)::

    provided_kafka(**broker_options)   -> context manager of str    KAFKA_BOOTSTRAP_SERVERS, "127.0.0.1:9092"
    provided_postgres(**options)       -> context manager of str    DATABASE_URL, "postgresql://postgres@127.0.0.1:5432/postgres"
    provided_mariadb(**options)        -> context manager of str    DATABASE_URL, "mysql://logpipe:logpipe@127.0.0.1:3306/logpipe"
    provided_kinesis(**options)        -> context manager of str    KINESIS_ENDPOINT_URL, "http://127.0.0.1:4567"

Hold a service in hand, to hurt it::

    KafkaBroker(*, num_partitions=1, auto_create_topics=True, config=None, data_folder=None, heap_megabytes=384,
                java_options=QUICK_JAVA, proxy=None, credentials=None)
        .bootstrap_servers: str        "127.0.0.1:PORT"
        .proxied_bootstrap_servers     where proxy=TcpProxy() was given: through the proxy (the other stays direct)
        .sasl_bootstrap_servers        where credentials=("user", "password") was given: SASL_PLAINTEXT, mechanism PLAIN
        .port, .pid, .log_path, .data_folder, .is_running
        .start() .stop()               stop is graceful; both are idempotent
        .kill()                        SIGKILL
        .freeze() .resume()            SIGSTOP, SIGCONT
        .stop(keep_data=True)          the temporary folder stays for restart(), as it does after kill()
        .restart()                     the same data on the same port, after kill() or while it runs
        .wait_until_ready(timeout_seconds=60)
        config={"message.max.bytes": "2000000"}: any of the broker's own keys

    KafkaCluster(*, size=3, num_partitions=3, config=None)    replication factor 3, min.insync.replicas=2
        nodes are numbered 1..size
        .bootstrap_servers             of all nodes
        .brokers: dict[int, KafkaBroker]
        .start() .stop() .kill(node_id) .freeze(node_id) .resume(node_id) .restart(node_id)
        .leader_of(topic, partition) -> int                   the node's number
        .wait_until_ready(timeout_seconds=90)

    PostgresServer(*, fsync=False, max_connections=200, config=None, data_folder=None)
        .url, .port, .pid, .log_path, .url_for(database, *, port=None)
        .start() .stop() .kill() .freeze() .resume() .restart()    of the postmaster and all of its processes
        .create_database(name) -> url, .drop_database(name)   drop ends the sessions that are left in it

    MariaDBServer(*, config=None, data_folder=None)           user and password "logpipe", database "logpipe", utf8mb4
        .url, .port, .pid, .log_path, .url_for(database, *, port=None)
        .start() .stop() .kill() .restart() .create_database(name) -> url, .drop_database(name)

    KinesisMock(*, config=None)        split, merge and closed shards work; in memory: an end empties it
        .endpoint_url .start() .stop() .kill() .restart()
    MotoServer()                       faster, but its closed shards never end; the same names

    TcpProxy(target_host="127.0.0.1", target_port=None, *, delay_seconds=0.0)
        .host, .port, .address ("127.0.0.1:PORT"), .target = (host, port)
        .connection_count
        .start() .stop()
        .cut()                         drops every connection and refuses new ones
        .hang()                        accepts, and passes nothing on in either direction
        .restore()                     ends both; what hung flows on
        .delay_seconds                 settable while it runs: added to each chunk

    free_port() -> int                 below the ephemeral range, so that no client's own socket can sit on it
"""

from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable
from logpipe_signals.testing.services.kafka import KafkaBroker
from logpipe_signals.testing.services.ports import free_port
from logpipe_signals.testing.services.proxy import TcpProxy
from testproject.services.kafka_cluster import KafkaCluster
from testproject.services.kinesis import KinesisMock, MotoServer
from testproject.services.mariadb import MariaDBServer
from testproject.services.postgres import PostgresServer
from testproject.services.providers import provided_kafka, provided_kinesis, provided_mariadb, provided_postgres

__all__ = [
    "KafkaBroker",
    "KafkaCluster",
    "KinesisMock",
    "MariaDBServer",
    "MotoServer",
    "PostgresServer",
    "ServiceFailed",
    "ServiceUnavailable",
    "TcpProxy",
    "free_port",
    "provided_kafka",
    "provided_kinesis",
    "provided_mariadb",
    "provided_postgres",
]
