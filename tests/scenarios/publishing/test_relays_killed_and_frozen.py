"""Three relays and three writers, killed and frozen at random while they work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testproject.services import KafkaBroker
from tests.scenarios.publishing.faults import Faults
from tests.scenarios.publishing.logs import DatabaseLog, KafkaLog, Log
from tests.scenarios.publishing.world import World

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

CROWD = ["--rows", "6", "--style", "people"]
ROUNDS = 5


def test_nothing_is_lost_or_out_of_order_when_relays_and_writers_are_killed(
    make_world: Callable[..., World], log: Log, soak_seconds: Callable[[float], float]
) -> None:
    world = make_world(log=log, writer_options=["--poison"])
    world.start()
    faults = Faults(world, {"kill_relay": 3, "kill_writer": 2, "freeze_writer": 1})

    faults.run(soak_seconds(10))
    world.settle()

    world.require(strict=True)
    assert all(faults.done[kind] for kind in ("kill_relay", "kill_writer", "freeze_writer"))
    assert world.take_overs, "no dead relay's lane was taken over"
    assert world.skip_what_cannot_be_told(), "no row had to wait behind what cannot be told"
    world.require(strict=True)


@pytest.mark.kafka
def test_what_a_relay_frozen_past_its_lease_appends_late_carries_a_lower_sequence(
    make_world: Callable[..., World], broker: KafkaBroker, soak_seconds: Callable[[float], float]
) -> None:
    world = make_world(log=KafkaLog(broker.bootstrap_servers))
    world.start()
    faults = Faults(world, {"freeze_relay": 4, "kill_relay": 1, "kill_writer": 1}, pause_seconds=0.7)

    faults.run(soak_seconds(12))
    world.settle()

    world.require(strict=False)
    assert all(faults.done[kind] for kind in ("freeze_relay", "kill_relay", "kill_writer"))
    assert world.take_overs, "no frozen relay's lane was taken over"


def test_what_a_relay_that_overslept_its_lease_appends_is_refused_by_its_sequence(
    make_world: Callable[..., World], database: str
) -> None:
    world = make_world(log=DatabaseLog(database), mutation="oversleep", writer_options=CROWD)

    for _ in range(ROUNDS):
        oversleep(world)
        world.require(strict=False)
        if "out_of_order" in world.verdict(strict=True).rules:
            return
    pytest.fail("nothing older was appended behind something newer")


@pytest.mark.kafka
def test_a_log_with_transactions_refuses_what_a_relay_that_overslept_its_lease_appends(
    make_world: Callable[..., World], broker: KafkaBroker
) -> None:
    fencing = {"KAFKA_FENCING": "transactions"}
    log = KafkaLog(broker.bootstrap_servers)
    world = make_world(log=log, mutation="oversleep", writer_options=CROWD, settings=fencing)

    for _ in range(2):
        oversleep(world)

    assert not world.require(strict=True).stale


def oversleep(world: World) -> None:
    """Let it work until a lane was taken from a relay that slept, and for a while after."""
    before = world.take_overs
    world.start()
    world.wait_until(lambda: world.take_overs > before, "a sleeping relay's lane is taken over")
    world.wait_for_writes(60)
    world.settle()
