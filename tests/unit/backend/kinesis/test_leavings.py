"""Positions and leases of shards that a stream no longer has do not pile up."""

from __future__ import annotations

from typing import Any

import pytest

from logpipe_signals.backend.kinesis import leavings
from logpipe_signals.backend.kinesis.claims import ShardClaims
from logpipe_signals.backend.kinesis.positions import SHARD_END, ModelOffsetStore
from logpipe_signals.models import Lease, Offset
from tests.unit.backend.kinesis.conftest import Open, poll_until
from tests.unit.backend.kinesis.fake import FakeKinesis
from tests.unit.backend.kinesis.test_shards import family, place

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def store(group: str = "g", **positions: str | None) -> None:
    """Store positions by the shard's number: `s0=SHARD_END`; each has a lease that nobody holds."""
    kept = ModelOffsetStore()
    claims = ShardClaims(group, ["people"])
    for name, position in positions.items():
        shard = place(int(name[1:]))
        Offset.objects.using(kept.alias()).create(
            log=kept.log, group=group, topic=shard.topic, partition=shard.partition, position=position
        )
        Lease.objects.using(kept.alias()).create(kind="shard", name=claims._name(shard))


def stored() -> set[int]:
    shards = Offset.objects.using(ModelOffsetStore().alias()).values_list("partition", flat=True)
    return {int(shard.rpartition("-")[2]) for shard in shards}


def leases() -> set[int]:
    names = Lease.objects.using(ModelOffsetStore().alias()).filter(kind="shard").values_list("name", flat=True)
    return {int(name.rpartition("-")[2]) for name in names}


@pytest.mark.parametrize(
    ("listed", "positions", "stays"),
    [
        pytest.param({"s1": "0", "s2": "0"}, {"s0": SHARD_END, "s1": "7", "s2": "8"}, {1, 2}, id="done with"),
        pytest.param({"s0": "", "s1": "0"}, {"s0": SHARD_END, "s1": "7"}, {0, 1}, id="still on the stream"),
        pytest.param({"s1": "0", "s2": "0"}, {"s0": SHARD_END, "s1": "7"}, {0, 1}, id="a child has no position"),
        pytest.param({"s1": "0", "s2": "0"}, {"s0": SHARD_END, "s1": "7", "s2": None}, {0, 1, 2}, id="nor has read"),
        pytest.param({"s1": "0"}, {"s0": "5", "s1": "7"}, {0, 1}, id="not read to its end"),
        pytest.param({"s3": "2"}, {"s0": SHARD_END, "s1": SHARD_END, "s2": SHARD_END, "s3": "9"}, {3}, id="long gone"),
        pytest.param({}, {"s0": SHARD_END}, {0}, id="the stream is not there"),
    ],
)
def test_only_what_nobody_needs_any_more_goes(
    fake: FakeKinesis, listed: dict[str, str], positions: dict[str, str], stays: set[int]
) -> None:
    store(**positions)
    leavings.forget_gone("g", family(**listed), ShardClaims("g", ["people"]))
    assert (stored(), leases()) == (stays, stays)


def test_another_groups_positions_stay(fake: FakeKinesis) -> None:
    store("other", s0=SHARD_END)
    leavings.forget_gone("g", family(s1=""), ShardClaims("g", ["people"]))
    assert stored() == {0}


def test_a_running_consumer_cleans_up(fake: FakeKinesis, open_consumer: Open, monkeypatch: Any) -> None:
    monkeypatch.setattr(leavings, "LOOK_EVERY_SECONDS", 0.05)
    kept = ModelOffsetStore()
    consumer = open_consumer(
        group="g",
        read_positions=lambda partitions: kept.read("g", partitions),
        peek_positions=lambda partitions: kept.read("g", partitions),
        mark=lambda partition, position: kept.advance("g", partition, expected=None, position=position) is None,
    )
    poll_until(consumer, lambda: place(0) in consumer.assignment())
    fake.split(place(0).partition)
    poll_until(consumer, lambda: consumer.assignment() == {place(1), place(2)})
    del fake.shards[place(0).partition]
    for shard in (1, 2):
        kept.advance("g", place(shard), expected=None, position="70")
    consumer._claims.look_now()  # type: ignore[union-attr]
    poll_until(consumer, lambda: stored() == {1, 2} and leases() == {1, 2})
