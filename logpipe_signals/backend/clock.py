"""A clock for deadlines: it never jumps, and it goes on while the machine is suspended where the system has one."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Return seconds since some fixed moment."""
    return time.clock_gettime(_BOOT_CLOCK) if _BOOT_CLOCK is not None else time.monotonic()


class Deadline:
    """The moment when some work has to be over."""

    def __init__(self, timeout_seconds: float) -> None:
        self._at = seconds() + timeout_seconds

    @property
    def remaining_seconds(self) -> float:
        """Return what is left; never less than nothing."""
        return max(0.0, self._at - seconds())

    @property
    def passed(self) -> bool:
        """Tell whether the moment is over."""
        return seconds() >= self._at
