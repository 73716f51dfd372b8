"""How members of a group share partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.sharing import fair_share, surplus_of, wanted_of

names = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=9)


@given(st.text(max_size=10), st.integers(0, 60), names)
def test_shares_add_up_and_differ_by_one_at_most(topic: str, partitions: int, members: set[str]) -> None:
    shares = [fair_share(topic, partitions, members, member) for member in members]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


def test_many_small_topics_spread_over_the_members() -> None:
    members = {"first", "second"}
    readers = {
        member for number in range(20) for member in members if fair_share(f"topic-{number}", 1, members, member)
    }
    assert readers == members


@pytest.mark.parametrize(("share", "surplus"), [(0, 3), (1, 2), (3, 0), (5, 0)])
def test_what_is_beyond_the_share_is_surplus(share: int, surplus: int) -> None:
    held = [TopicPartition("people", str(number)) for number in range(3)]
    assert len(surplus_of(held, held, {"people": share})) == surplus


def test_a_partition_that_is_gone_is_surplus() -> None:
    gone = TopicPartition("people", "9")
    assert surplus_of([gone], [], {"people": 1}) == {gone}


def test_no_more_is_wanted_than_the_share() -> None:
    free = [TopicPartition("people", str(number)) for number in range(4)]
    assert len(wanted_of([TopicPartition("people", "8")], free, {"people": 3})) == 2
