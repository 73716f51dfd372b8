"""What relays and writers stand on goes away and comes back: brokers, the database, the network between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from logpipe_signals.testing.services.ports import wait_until
from testproject.services import KafkaBroker, KafkaCluster, PostgresServer, TcpProxy
from tests.scenarios.publishing.logs import TOPIC, DatabaseLog, KafkaLog
from tests.scenarios.publishing.world import PENDING, World

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

WRITES_WHILE_AWAY = 60


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    """Return a way to PostgreSQL that can be cut."""
    with TcpProxy(target_port=postgres.port) as proxy:
        yield proxy


@pytest.mark.kafka
def test_saves_go_on_while_the_broker_is_dead_and_all_is_sent_when_it_is_back(
    make_world: Callable[..., World], broker: KafkaBroker
) -> None:
    world = make_world(log=KafkaLog(broker.bootstrap_servers))
    world.start()

    broker.kill()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    kept = world.count(PENDING)
    broker.restart()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    world.settle()

    world.require()
    assert kept > 0, "the broker was not missed"


@pytest.mark.kafka
def test_nothing_is_lost_when_the_leader_of_three_brokers_is_killed(
    make_world: Callable[..., World], started: Callable[[KafkaCluster], KafkaCluster]
) -> None:
    cluster = started(KafkaCluster())
    try:
        log = KafkaLog(cluster.bootstrap_servers)
        world = make_world(log=log)
        world.start()
        world.wait_until(log.read, "there is something to lose")
        leader = cluster.leader_of(TOPIC, 0)

        cluster.kill(leader)
        world.wait_for_writes(WRITES_WHILE_AWAY)
        assert cluster.leader_of(TOPIC, 0) != leader, "nobody took over"
        cluster.restart(leader)
        world.wait_for_writes(WRITES_WHILE_AWAY)
        world.settle()

        world.require()
    finally:
        cluster.stop()


@pytest.mark.kafka
def test_nothing_is_lost_when_the_way_to_kafka_is_cut(make_world: Callable[..., World], broker: KafkaBroker) -> None:
    assert broker.proxy is not None
    way = broker.proxy
    world = make_world(log=KafkaLog(broker.bootstrap_servers, through=broker.proxied_bootstrap_servers))
    world.start()
    world.wait_until(lambda: way.connection_count > 0, "relays go through the proxy")

    for _ in range(2):
        way.cut()
        world.wait_for_writes(WRITES_WHILE_AWAY)
        assert world.count(PENDING) > 0, "the broker was not missed"
        way.restore()
        world.wait_for_writes(WRITES_WHILE_AWAY)
    world.settle()

    world.require()


@pytest.mark.kafka
def test_what_a_hanging_network_delivers_late_carries_a_lower_sequence(
    make_world: Callable[..., World], broker: KafkaBroker
) -> None:
    assert broker.proxy is not None
    way = broker.proxy
    world = make_world(log=KafkaLog(broker.bootstrap_servers, through=broker.proxied_bootstrap_servers))
    world.start()
    world.wait_until(lambda: way.connection_count > 0, "relays go through the proxy")

    way.hang()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    assert world.count(PENDING) > 0, "the broker was not missed"
    way.restore()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    world.settle()

    world.require(strict=False)


@pytest.mark.kafka
def test_nothing_is_lost_when_the_way_to_the_database_is_cut(
    make_world: Callable[..., World], database: str, postgres: PostgresServer, broker: KafkaBroker, proxy: TcpProxy
) -> None:
    name = database.rpartition("/")[2]
    log = KafkaLog(broker.bootstrap_servers)
    world = make_world(log=log, through=postgres.url_for(name, port=proxy.port))
    world.start()

    for _ in range(3):
        assert proxy.connection_count > 0
        proxy.cut()
        assert wait_until(lambda: proxy.connection_count == 0, timeout_seconds=10)
        proxy.restore()
        world.wait_for_writes(WRITES_WHILE_AWAY)
    world.settle()

    world.require()


def test_nothing_is_lost_when_postgresql_is_restarted_and_killed(
    make_world: Callable[..., World], database: str, postgres: PostgresServer
) -> None:
    world = make_world(log=DatabaseLog(database))
    world.start()
    before = postgres.pid

    postgres.restart()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    postgres.kill()
    postgres.restart()
    world.wait_for_writes(WRITES_WHILE_AWAY)
    world.settle()

    world.require()
    assert postgres.pid != before


@pytest.mark.kafka
def test_a_backfill_beside_live_writes_takes_no_row_back(make_world: Callable[..., World], broker: KafkaBroker) -> None:
    world = make_world(log=KafkaLog(broker.bootstrap_servers))
    world.start()

    for number in range(3):
        backfill = world.program(f"backfill{number}", "manage.py", "republish_all", "people", "--verbosity=0")
        backfill.start()
        assert backfill.wait(timeout_seconds=60), backfill.output
        assert "rows sent" in backfill.output, backfill.output
    world.settle()

    verdict = world.require()
    assert verdict.repeated, "the backfill sent nothing again"
