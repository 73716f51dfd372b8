"""Calls are throttled, partly refused, broken, hung, and done without an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from testproject.services import KinesisMock
from tests.scenarios.kinesis.crew import Crew
from tests.scenarios.kinesis.faulty import FaultyKinesis

pytestmark = [pytest.mark.scenario, pytest.mark.postgres, pytest.mark.kinesis]

MakeFaulty = Callable[..., FaultyKinesis]


@pytest.fixture
def make_faulty(kinesis: KinesisMock, seed: int) -> Iterator[MakeFaulty]:
    """Return a function that puts something faulty between the processes and Kinesis."""
    made: list[FaultyKinesis] = []

    def make(**odds: float) -> FaultyKinesis:
        made.append(FaultyKinesis(kinesis.endpoint_url, seed=seed, odds=odds))
        return made[-1].__enter__()

    yield make
    for faulty in made:
        faulty.__exit__()


def test_throttled_and_partly_refused_calls_lose_repeat_and_reorder_nothing(
    make_crew: Callable[..., Crew], make_faulty: MakeFaulty, soak_seconds: Callable[[float], float]
) -> None:
    faulty = make_faulty(throttle=0.15, partly=0.5, expire=0.1)
    crew = make_crew(through=faulty.endpoint_url)

    verdict = work_and_require(crew, faulty, soak_seconds(15))

    assert not verdict.stale, "something was sent behind something newer"
    assert all(faulty.done[fault] for fault in ("throttle", "partly", "expire")), faulty.done


def test_hanging_and_broken_calls_and_lost_answers_lose_nothing_and_no_record_is_applied_twice(
    make_crew: Callable[..., Crew], make_faulty: MakeFaulty, soak_seconds: Callable[[float], float]
) -> None:
    faulty = make_faulty(hang=0.02, forget=0.1, **{"break": 0.1})
    crew = make_crew(through=faulty.endpoint_url)

    work_and_require(crew, faulty, soak_seconds(20))

    assert all(faulty.done[fault] for fault in ("hang", "forget", "break")), faulty.done


def work_and_require(crew: Crew, faulty: FaultyKinesis, seconds: float):  # type: ignore[no-untyped-def]
    """Let everybody work through what is faulty, then without faults to the end, and require the promises."""
    crew.world.start()
    crew.start()
    time.sleep(seconds)
    faulty.odds = {}
    crew.world.settle()
    crew.catch_up()
    verdict = crew.world.require(strict=False)
    assert not crew.repeated()
    assert crew.copies() == crew.originals()
    return verdict
