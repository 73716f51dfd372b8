"""Lanes: each has one relay at a time, shared fairly, taken over from the dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.models import Lease
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing import lanes
from logpipe_signals.publishing.lanes import HeldLanes

pytestmark = pytest.mark.django_db


class Clock:
    """A clock that only a test moves."""

    now = 1000.0

    def seconds(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    moved = Clock()
    monkeypatch.setattr(lanes.clock, "seconds", moved.seconds)
    return moved


@pytest.fixture
def relays(clock: Clock) -> Callable[[str], HeldLanes]:
    return lambda owner: HeldLanes("default", owner)


def tick(clock: Clock, *held: HeldLanes, busy: tuple[int, ...] = ()) -> None:
    clock.now += 6
    for one in held:
        one.keep(busy=busy)


def test_a_relay_alone_holds_every_lane(relays: Callable[[str], HeldLanes]) -> None:
    alone = relays("a")
    alone.keep()
    assert alone.numbers == list(range(8))


def test_two_relays_come_to_hold_half_each_and_never_the_same_lane(
    relays: Callable[[str], HeldLanes], clock: Clock
) -> None:
    a, b = relays("a"), relays("b")
    a.keep()
    b.keep()
    for _ in range(3):
        assert not set(a.numbers) & set(b.numbers)
        tick(clock, a, b)

    assert (len(a), len(b)) == (4, 4)
    assert sorted(a.numbers + b.numbers) == list(range(8))


def test_a_third_relay_gets_its_share(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    held = [relays(name) for name in "abc"]
    for _ in range(6):
        tick(clock, *held)

    assert sorted(lane for one in held for lane in one.numbers) == list(range(8))
    assert sorted(len(one) for one in held) == [2, 3, 3]


def test_a_graceful_stop_hands_over_at_once(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    a, b = relays("a"), relays("b")
    a.keep()
    a.release()
    b.keep()

    assert b.numbers == list(range(8))


def test_a_dead_relays_lanes_are_taken_over_when_its_lease_has_run_out(
    relays: Callable[[str], HeldLanes], clock: Clock
) -> None:
    dead, heir = relays("dead"), relays("heir")
    dead.keep()
    heir.keep()
    assert heir.numbers == []

    Lease.objects.filter(owner="dead").update(expires_at="2000-01-01T00:00:00Z")
    tick(clock, heir)

    assert heir.numbers == list(range(8))


def test_a_take_over_changes_the_token(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    dead, heir = relays("dead"), relays("heir")
    dead.keep()
    Lease.objects.filter(owner="dead").update(expires_at="2000-01-01T00:00:00Z")
    heir.keep()

    assert all(heir.tokens[lane] > token for lane, token in dead.tokens.items())


def test_a_renewal_keeps_the_token(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    alone = relays("a")
    alone.keep()
    before = dict(alone.tokens)
    tick(clock, alone)

    assert alone.tokens == before


def test_a_lane_with_messages_in_flight_is_not_given_back(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    a, b = relays("a"), relays("b")
    a.keep()
    b.keep()
    tick(clock, a, busy=tuple(range(8)))
    tick(clock, b)
    assert b.numbers == []
    assert len(a.numbers) == 4, "what is about to be given back is not claimed from any more"

    a.keep()
    tick(clock, b)
    assert sorted(a.numbers + b.numbers) == list(range(8))


def test_a_relay_whose_deadline_passed_must_not_send(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    held = relays("a")
    held.keep()
    clock.now += 15

    with pytest.raises(LeaseLost, match="LEASE_SECONDS"):
        held.require([])


def test_a_lane_lost_and_taken_again_is_not_the_one_the_rows_were_claimed_in(
    relays: Callable[[str], HeldLanes], clock: Clock
) -> None:
    held = relays("a")
    held.keep()
    claimed_in = held.pairs([3])
    Lease.objects.filter(owner="a").update(expires_at="2000-01-01T00:00:00Z")
    tick(clock, held)
    assert 3 in held.numbers

    with pytest.raises(LeaseLost):
        held.require(claimed_in)


def test_the_late_owner_is_fenced_before_its_lanes_are_used(clock: Clock) -> None:
    fenced: list[str] = []
    HeldLanes("default", "dead").keep()
    Lease.objects.filter(owner="dead").update(expires_at="2000-01-01T00:00:00Z")

    HeldLanes("default", "heir", fence=fenced.append).keep()

    assert fenced == ["dead"]


def test_who_hands_over_gracefully_is_not_fenced(clock: Clock) -> None:
    fenced: list[str] = []
    leaving = HeldLanes("default", "leaving")
    leaving.keep()
    leaving.release()

    HeldLanes("default", "heir", fence=fenced.append).keep()

    assert fenced == []


def test_lanes_whose_late_owner_cannot_be_fenced_are_left_to_another_try(clock: Clock) -> None:
    def away(owner: str) -> None:
        raise BackendUnavailable("no broker")

    HeldLanes("default", "dead").keep()
    Lease.objects.filter(owner="dead").update(expires_at="2000-01-01T00:00:00Z")
    heir = HeldLanes("default", "heir", fence=away)

    with pytest.raises(BackendUnavailable):
        heir.keep()

    fenced: list[str] = []
    HeldLanes("default", "next", fence=fenced.append).keep()
    assert fenced == ["dead"]


def test_the_own_deadline_ends_before_the_databases(relays: Callable[[str], HeldLanes], clock: Clock) -> None:
    held = relays("a")
    held.keep()
    assert held.seconds_left < 15


def test_lanes_are_made_again_when_their_rows_are_gone(relays: Callable[[str], HeldLanes]) -> None:
    held = relays("a")
    held.keep()
    Lease.objects.of_kind(LeaseKind.LANE).delete()

    assert relays("b").take()


def test_taking_given_lanes_takes_no_others(relays: Callable[[str], HeldLanes]) -> None:
    held = relays("a")
    held.take([1, 2])
    assert held.numbers == [1, 2]
