"""Which partition a key belongs to: Kafka's own rule, so that a key stays together whichever client sends it."""

from __future__ import annotations

import itertools
from functools import partial

from logpipe_signals.backend.base import Layout

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the hash that Kafka's Java client gives these bytes, as an unsigned number."""
    length = len(data)
    hashed = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        word = (word ^ (word >> 24)) * _M & _MASK
        hashed = (hashed * _M & _MASK) ^ word
    if rest := data[whole:]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _M & _MASK
    hashed = (hashed ^ (hashed >> 13)) * _M & _MASK
    return hashed ^ (hashed >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the number of the partition that holds this key's messages."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def layout_of(partitions: int) -> Layout:
    """Return how Kafka's rule spreads keys over so many partitions."""
    names = tuple(str(number) for number in range(partitions))
    return Layout(partitions=names, partition_of=partial(_name_of, partitions=partitions))


def _name_of(key: str, partitions: int) -> str:
    return str(partition_of(key.encode(), partitions))


class Partitioner:
    """Chooses partitions: by key, or in turn for messages without one."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def choose(self, key: bytes | None, partitions: int) -> int:
        """Return a partition's number."""
        return partition_of(key, partitions) if key else next(self._turns) % partitions
