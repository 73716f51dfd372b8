"""How the consumers of a group share partitions where the log does not do it for them."""

from __future__ import annotations

import abc
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from logpipe_signals.backend.base import TopicPartition


def fair_share(topic: str, partitions: int, members: Collection[str], member: str) -> int:
    """
    Return how many of a topic's partitions a member may hold. The shares of all members add up to all partitions.

    Who gets one more differs from topic to topic, so that many small topics spread over the members too.
    """
    ranked = sorted(members)
    rank = (ranked.index(member) + zlib.crc32(topic.encode())) % len(ranked)
    return partitions // len(ranked) + (rank < partitions % len(ranked))


class Change(NamedTuple):
    """What a look at the group says: what was lost already, and what has to be given up for others."""

    lost: frozenset[TopicPartition]
    surplus: frozenset[TopicPartition]


class Claims(abc.ABC):
    """
    The partitions of a group that one member holds. Nobody else holds them meanwhile.

    A member looks (`look`), stops work on what that names, hands the surplus over (`release`), and takes what is free
    up to its share (`take`). So nothing is taken before its last holder has stopped.
    """

    def __init__(self) -> None:
        self.held: frozenset[TopicPartition] = frozenset()

    @abc.abstractmethod
    def due(self) -> bool:
        """Tell whether it is time to look at the group again."""

    @abc.abstractmethod
    def look(self, partitions: Collection[TopicPartition]) -> Change:
        """Say that this member lives, and return what it no longer may read."""

    @abc.abstractmethod
    def release(self, partitions: Collection[TopicPartition]) -> None:
        """Hand partitions over."""

    @abc.abstractmethod
    def take(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Take free partitions up to this member's share, and return them."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Hand everything over and be no member any more."""


def surplus_of(
    held: Iterable[TopicPartition], partitions: Collection[TopicPartition], shares: dict[str, int]
) -> frozenset[TopicPartition]:
    """Return what is held beyond the share of each topic, or is not among the partitions at all."""
    kept = dict.fromkeys(shares, 0)
    surplus = set()
    for partition in sorted(held):
        if partition not in partitions or kept[partition.topic] >= shares[partition.topic]:
            surplus.add(partition)
        else:
            kept[partition.topic] += 1
    return frozenset(surplus)


def wanted_of(
    held: Collection[TopicPartition], free: Iterable[TopicPartition], shares: dict[str, int]
) -> frozenset[TopicPartition]:
    """Return which free partitions fill this member's shares up."""
    count = {topic: sum(partition.topic == topic for partition in held) for topic in shares}
    wanted = set()
    for partition in sorted(free):
        if count[partition.topic] < shares[partition.topic]:
            count[partition.topic] += 1
            wanted.add(partition)
    return frozenset(wanted)
