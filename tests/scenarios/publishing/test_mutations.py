"""
The checker notices when a promise's reason is taken out of the code.

A checker that passes everything would pass these scenarios too. So each of the four things that publishing rests on is
removed in turn, in the scenario's processes alone, and the same checker has to find the same promise broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.scenarios.checker import Verdict
from tests.scenarios.publishing.logs import DatabaseLog
from tests.scenarios.publishing.world import World

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

ROUNDS = 6
ROUND_SECONDS = 3
LOST = {"missing", "unfinished", "not_retracted"}


def found_within_rounds(world: World, *, kill_writers: bool = False) -> Verdict:
    """Let it work, round by round, until the checker finds something, or there were rounds enough."""
    verdict = world.verdict()
    for _ in range(ROUNDS):
        world.start()
        time.sleep(ROUND_SECONDS)  # the work itself: there is no condition to wait for
        if kill_writers:
            for writer in world.writers:
                writer.kill()
        world.settle()
        verdict = world.verdict()
        if not verdict.holds:
            break
    return verdict


@pytest.fixture
def world_without(database: str, make_world: Callable[..., World]) -> Callable[..., World]:
    """Return a function that makes a world without one of the promises; its few rows are a crowd."""

    def make(mutation: str, *options: str) -> World:
        return make_world(
            log=DatabaseLog(database), mutation=mutation, writer_options=["--keep-keys", "--style", "people", *options]
        )

    return make


def test_checker_finds_that_lanes_are_not_exclusive(world_without: Callable[..., World]) -> None:
    verdict = found_within_rounds(world_without("share_lanes", "--rows", "8"))

    assert verdict.rules & {"out_of_order", "unfinished"}, verdict.report("nothing was found:")


def test_checker_finds_that_a_save_is_not_atomic(world_without: Callable[..., World]) -> None:
    world = world_without("split_save", "--rows", "1000", "--style", "plain", "--pause-seconds", "0")

    verdict = found_within_rounds(world, kill_writers=True)

    assert verdict.rules & LOST, verdict.report("nothing was found:")


def test_checker_finds_that_the_state_is_read_before_the_claim(world_without: Callable[..., World]) -> None:
    verdict = found_within_rounds(world_without("read_before_claim", "--rows", "100"))

    assert verdict.rules & LOST, verdict.report("nothing was found:")


def test_checker_finds_that_more_is_retired_than_was_claimed(world_without: Callable[..., World]) -> None:
    verdict = found_within_rounds(world_without("retire_by_row", "--rows", "20"))

    assert verdict.rules & LOST, verdict.report("nothing was found:")


def test_checker_finds_nothing_where_nothing_was_taken_out(world_without: Callable[..., World]) -> None:
    world = world_without("", "--rows", "8")

    world.start()
    time.sleep(ROUND_SECONDS)
    world.settle()

    world.require()
