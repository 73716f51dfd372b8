"""
Keys that change hands, in a crowd: rows give keys up, others take them, rows go and come back under other keys.

Who looks rows up by key ends with the table as it is, and no retraction hits a key's new owner.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.scenarios.publishing.logs import DatabaseLog
from tests.scenarios.publishing.world import World

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]


@pytest.mark.parametrize("keys", [10, 2000], ids=["few keys that change hands", "many keys given up for good"])
def test_who_looks_up_by_key_ends_with_the_table(
    make_world: Callable[..., World], database: str, soak_seconds: Callable[[float], float], keys: int
) -> None:
    # Batches of a few rows: what belongs together is often cut in two.
    options = ["--rows", "6", "--keys", str(keys), "--style", "keys", "--pause-seconds", "0.005"]
    world = make_world(
        log=DatabaseLog(database), settings={"RELAY_BATCH_SIZE": 3}, writer_options=options, relays=2, writers=4
    )

    world.start()
    time.sleep(soak_seconds(6))  # the work itself: there is no condition to wait for
    world.settle()

    world.require(strict=True)
