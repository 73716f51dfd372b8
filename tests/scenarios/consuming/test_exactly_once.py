"""
Each record is applied exactly once, whatever happens to the processes: and the checker that says so is not blind.

The user code of every subscriber notes each message it applies, in the transaction of the row.
"""

from __future__ import annotations

import random

import pytest

from tests.scenarios.consuming.conftest import MakeField
from tests.scenarios.consuming.field import Field

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]

MESSAGES = 600


def test_a_subscriber_killed_inside_its_transaction_repeats_nothing(field: Field):
    field.publish(MESSAGES)
    assert field.subscriber("killed", fault="inside:77").wait(timeout_seconds=60)
    field.subscriber("successor")
    field.wait_until_applied()
    assert field.judge().holds


def test_a_subscriber_killed_right_after_its_commit_repeats_nothing(field: Field):
    verdict = killed_after_commit(field)
    assert verdict.holds, verdict


def test_the_checker_sees_a_position_that_is_committed_after_the_rows(make_field: MakeField):
    verdict = killed_after_commit(make_field(), mutation="position_after_rows")
    assert verdict.repeated


def killed_after_commit(field: Field, *, mutation: str = ""):
    field.publish(MESSAGES)
    assert field.subscriber("killed", fault="committed:2", mutation=mutation).wait(timeout_seconds=60)
    field.subscriber("successor", mutation=mutation)
    field.wait_until_applied()
    return field.judge()


def test_a_subscriber_frozen_with_a_batch_in_hand_is_refused_when_it_wakes(field: Field):
    verdict = frozen_with_a_batch(field)
    assert verdict.holds, verdict


def test_the_checker_sees_a_position_that_moves_without_comparing(make_field: MakeField):
    verdict = frozen_with_a_batch(make_field(), mutation="blind_position")
    assert verdict.repeated


def frozen_with_a_batch(field: Field, *, mutation: str = ""):
    field.publish(MESSAGES)
    zombie = field.subscriber("zombie", fault="polled:2", mutation=mutation)
    field.wait_for(lambda: field.applied() > 0, "the zombie's first batch")
    field.subscriber("successor", mutation=mutation)
    field.wait_until_applied()
    zombie.resume()
    # Both go on; what is published now shows that the zombie is back among the living.
    field.publish(MESSAGES)
    field.wait_until_applied()
    zombie.stop()
    return field.judge()


def test_subscribers_added_killed_and_frozen_at_random_apply_each_record_once(field: Field):
    dice = random.Random(7)
    crew = [field.subscriber(f"subscriber-{number}") for number in range(2)]
    for turn in range(6):
        field.publish(MESSAGES // 3)
        victim = dice.choice(crew)
        match dice.choice(["kill", "freeze", "stop", "add"]):
            case "kill":
                victim.kill()
                victim.start()
            case "freeze":
                victim.freeze()
            case "stop":
                victim.stop()
            case "add" if len(crew) < 4:
                crew.append(field.subscriber(f"subscriber-{turn + 2}"))
    for member in crew:
        member.resume()
        member.start()
    field.wait_until_applied()
    assert field.judge().holds, field.judge()


def test_a_database_that_restarts_loses_and_repeats_nothing(make_field: MakeField):
    field = make_field()
    field.publish(MESSAGES)
    subscriber = field.subscriber("subscriber")
    field.wait_until_applied(50)
    field.postgres.kill()
    field.postgres.restart()
    field.publish(MESSAGES)
    field.wait_until_applied()
    assert subscriber.is_running
    assert field.judge().holds, field.judge()
    assert field.query("SELECT count(*) FROM logpipe_signals_deadletter") == [(0,)]


def test_a_stop_ends_a_subscriber_within_seconds_and_the_next_one_goes_on(make_field: MakeField):
    field = make_field()
    field.publish(MESSAGES)
    first = field.subscriber("first")
    field.wait_until_applied(50)
    first.stop(timeout_seconds=10)
    assert "applied" in first.output.splitlines()[-1]
    field.subscriber("second")
    field.wait_until_applied()
    assert field.judge().holds
