"""The shards of a group shared by leases in the project's database."""

from __future__ import annotations

from collections.abc import Sequence

from logpipe_signals.backend import clock
from logpipe_signals.backend.kinesis.positions import ModelOffsetStore
from logpipe_signals.backend.leased import LeaseClaims


class ShardClaims(LeaseClaims):
    """One member of a group. Leases stand beside the positions, on the same database alias."""

    kind = "shard"

    def __init__(self, group: str, streams: Sequence[str]) -> None:
        store = ModelOffsetStore()
        # The log's name keeps its members apart from those of the embedded log, and those of another region.
        super().__init__(store.alias(), f"{store.log}/{group}", streams, lambda: None)

    def look_now(self) -> None:
        """Look at the group at once: what there is to share has changed."""
        self._next_look = clock.seconds()
