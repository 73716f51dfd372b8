"""What is done to a world's processes while they work, from a seed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.scenarios.processes import Program
from tests.scenarios.publishing.world import World

LEASE_SECONDS = 2.0
"""As in the scenario's settings."""


class Faults:
    """
    Kills and freezes at random, each kind once at least; a killed program is started again, a frozen one resumed, after
    a random while.

    Args:
        kinds: How often each is done, against the others: `kill_relay`, `freeze_relay`, `kill_writer`, `freeze_writer`.
    """

    def __init__(self, world: World, kinds: dict[str, int], *, pause_seconds: float = 1.0) -> None:
        self.world = world
        self.done: Counter[str] = Counter()
        self._kinds = kinds
        self._chance = random.Random(world.seed + 1)
        self._still_to_do = self._chance.sample(list(kinds), len(kinds))
        self._pause_seconds = pause_seconds
        self._mend_at: list[tuple[float, Callable[[], None]]] = []

    def run(self, seconds: float) -> None:
        """Hurt for so long, or until each kind was done; what is not due to be mended is left to `World.settle`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until or self._still_to_do:
            time.sleep(self._chance.uniform(0.3, 1.0) * self._pause_seconds)
            self._mend()
            self._hurt(self._choose())

    def _choose(self) -> str:
        if self._still_to_do:
            return self._still_to_do[0]
        (kind,) = self._chance.choices(list(self._kinds), list(self._kinds.values()))
        return kind

    def _hurt(self, kind: str) -> None:
        what, _, whom = kind.partition("_")
        unhurt = self._unhurt(self.world.relays if whom == "relay" else self.world.writers)
        # One is left at work: with all of them away nothing would happen that could go wrong.
        if len(unhurt) < 2:
            return
        program = self._chance.choice(unhurt)
        if what == "kill":
            program.kill()
            self._later(self._chance.uniform(0.1, 1.0), program.start)
        else:
            program.freeze()
            self._later(LEASE_SECONDS * self._chance.uniform(0.5, 2.0), program.resume)
        self.done[kind] += 1
        self._still_to_do = [each for each in self._still_to_do if each != kind]

    def _unhurt(self, programs: Sequence[Program]) -> list[Program]:
        return [program for program in programs if program.is_running and not program.is_frozen]

    def _later(self, seconds: float, mend: Callable[[], None]) -> None:
        self._mend_at.append((time.monotonic() + seconds, mend))

    def _mend(self) -> None:
        now = time.monotonic()
        due = [mend for at, mend in self._mend_at if at <= now]
        self._mend_at = [(at, mend) for at, mend in self._mend_at if at > now]
        for mend in due:
            mend()
