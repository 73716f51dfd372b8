"""
What a subscriber process does to itself, and how its code is mutated: told by the environment.

    SCENARIO_FAULT="inside:37"        SIGKILL inside the transaction, in the user code of the 37th record
    SCENARIO_FAULT="committed:3"      SIGKILL right after the rows of the 3rd batch are committed
    SCENARIO_FAULT="polled:2"         SIGSTOP with the 2nd batch in hand, before its transaction begins
    SCENARIO_MUTATION="blind_position"       the position moves whatever it is
    SCENARIO_MUTATION="position_after_rows"  the position moves in a transaction behind that of the rows
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from logpipe_signals.backend.base import Position, TopicPartition
from logpipe_signals.backend.offsets import ModelOffsetStore
from logpipe_signals.consuming.apply import Applier
from logpipe_signals.consuming.batch import Batch
from logpipe_signals.consuming.reports import BatchReport

_reached: Counter[str] = Counter()
_SIGNALS = {"inside": signal.SIGKILL, "committed": signal.SIGKILL, "polled": signal.SIGSTOP}


def reach(point: str) -> None:
    """Count that the process came here, and hurt it when its time has come."""
    _reached[point] += 1
    wanted, _, count = os.environ.get("SCENARIO_FAULT", "").partition(":")
    if wanted == point and _reached[point] == int(count):
        os.kill(os.getpid(), _SIGNALS[point])


def install() -> None:
    """Put the points, and the mutation that the environment names, into the package."""
    _watch_polls()
    mutation = os.environ.get("SCENARIO_MUTATION", "")
    if mutation == "position_after_rows":
        Applier._moving = _moving_behind  # type: ignore[method-assign]
    else:
        _watch_commits()
    if mutation == "blind_position":
        ModelOffsetStore.advance = _advance_blindly  # type: ignore[method-assign]


def _watch_polls() -> None:
    apply = Applier.apply

    def watched(self: Applier, batch: Batch) -> BatchReport:
        reach("polled")
        return apply(self, batch)

    Applier.apply = watched  # type: ignore[method-assign]


def _watch_commits() -> None:
    moving = Applier._moving

    @contextmanager
    def watched(self: Applier, batch: Batch) -> Iterator[None]:
        with moving(self, batch):
            yield
        reach("committed")

    Applier._moving = watched  # type: ignore[method-assign]


@contextmanager
def _moving_behind(self: Applier, batch: Batch) -> Iterator[None]:
    with transaction.atomic(using=self.positions.alias):
        yield
    reach("committed")
    self.positions.advance(batch.partition, batch.position_after)
    self.positions.confirm(batch.partition)


def _advance_blindly(
    self: ModelOffsetStore, group: str, partition: TopicPartition, *, expected: Position | None, position: Position
) -> None:
    self._rows(group, [partition]).update(position=str(position))
