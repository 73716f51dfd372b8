"""Two workers are killed while the shards under them are split and merged again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.kinesis import merge, open_shards, split
from tests.scenarios.kinesis.crew import Crew
from tests.scenarios.publishing.logs import TOPIC

pytestmark = [pytest.mark.scenario, pytest.mark.postgres, pytest.mark.kinesis]

MOST_SHARDS = 5


def reshard(chance: random.Random) -> None:
    """Split a shard or merge two neighbours."""
    shards = [shard["ShardId"] for shard in open_shards(TOPIC)]
    place = chance.randrange(len(shards))
    if len(shards) < 2 or (len(shards) < MOST_SHARDS and chance.random() < 0.5):
        split(TOPIC, shards[place])
    else:
        place = min(place, len(shards) - 2)
        merge(TOPIC, shards[place], shards[place + 1])


def test_nothing_is_lost_repeated_or_out_of_order_while_shards_split_and_merge_and_workers_die(
    make_crew: Callable[..., Crew], soak_seconds: Callable[[float], float]
) -> None:
    crew = make_crew()
    chance = random.Random(crew.world.seed)
    crew.world.start()
    crew.start()

    until, turns = time.monotonic() + soak_seconds(25), 0
    while time.monotonic() < until:
        reshard(chance)
        turns += 1
        if turns % 3 == 0:
            crew.kill_one()
        time.sleep(chance.uniform(0.3, 1.5))
    crew.world.settle()
    crew.catch_up()

    crew.world.require(strict=True)
    assert not crew.repeated()
    verdict = crew.verdict()
    assert verdict.holds, verdict.report(f"LOGPIPE_SEED={crew.world.seed}: applied:")
    assert crew.copies() == crew.originals()
    assert crew.kills
    assert crew.take_overs, "no dead worker's shard was taken over"
    assert len(crew.log.shards()) > 10, "too little was split and merged"
