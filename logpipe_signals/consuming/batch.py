"""A batch: records of one partition, in order, as they were understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from logpipe_signals.backend.base import Position, TopicPartition
from logpipe_signals.consuming.incoming import Incoming, Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A record as it was understood, and the position behind it."""

    what: Incoming | Refused
    position_after: Position


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Records of one partition, in order."""

    partition: TopicPartition
    items: Sequence[Item]

    @property
    def position_after(self) -> Position:
        """Return the position behind the last record."""
        return self.items[-1].position_after

    @property
    def has_raising(self) -> bool:
        """Tell whether one of its records was refused and has to raise."""
        return any(isinstance(item.what, Refused) and item.what.policy == "raise" for item in self.items)

    def singles(self) -> Iterator[Batch]:
        """Return each record as a batch of its own."""
        return (replace(self, items=[item]) for item in self.items)

    def refusing(self, refused: Mapping[int, Refused]) -> Batch:
        """Return the batch with some of its records refused, by the `id()` of what they were."""
        items = [replace(item, what=refused.get(id(item.what), item.what)) for item in self.items]
        return replace(self, items=items)


class FoundInvalid(Exception):
    """Serializers refused some records of a batch; its transaction starts again without them."""

    def __init__(self, refused: Mapping[int, Refused]) -> None:
        super().__init__(f"{len(refused)} records are invalid")
        self.refused = refused


class BatchFailed(Exception):
    """A batch does not work as a whole; its records are applied one by one."""
