"""
What is left of shards that a stream no longer has: their positions and leases, which would grow with each resharding.

A position goes when its shard has left the stream, everything of it is done with, and what came of it has positions of
its own: until then it tells whether a child is read from its first record.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.database_log import reachable
from logpipe_signals.backend.kinesis.claims import ShardClaims
from logpipe_signals.backend.kinesis.positions import SHARD_END, ModelOffsetStore
from logpipe_signals.backend.kinesis.shards import Shards

LOOK_EVERY_SECONDS = 3600.0


def forget_gone(group: str, shards: Shards, claims: ShardClaims) -> set[TopicPartition]:
    """
    Delete the positions and leases that nobody needs any more, and return whose they were.

    Args:
        shards: All that the streams have now; of a stream that has none here nothing is forgotten.
    """
    gone = _not_needed(_stored(group, {partition.topic for partition in shards}), shards)
    if gone:
        with reachable(ModelOffsetStore().alias()):
            for partition in sorted(gone):
                _positions(group).filter(_done(), topic=partition.topic, partition=partition.partition).delete()
        claims.forget(gone)
    return gone


def _not_needed(stored: dict[TopicPartition, str | None], shards: Shards) -> set[TopicPartition]:
    asked_for = {parent for child, shard in shards.items() if stored.get(child) is None for parent in shard.parents}
    return {
        partition
        for partition, position in stored.items()
        if position in (None, SHARD_END) and partition not in shards and partition not in asked_for
    }


def _stored(group: str, streams: Collection[str]) -> dict[TopicPartition, str | None]:
    with reachable(ModelOffsetStore().alias()):
        rows = list(_positions(group).filter(topic__in=streams).values_list("topic", "partition", "position"))
    return {TopicPartition(topic, shard): position for topic, shard, position in rows}


def _done() -> Q:
    return Q(position=None) | Q(position=SHARD_END)


def _positions(group: str):  # type: ignore[no-untyped-def]  # a queryset of a model that is imported late
    from logpipe_signals.models import Offset

    store = ModelOffsetStore()
    return Offset.objects.using(store.alias()).filter(log=store.log, group=group)
