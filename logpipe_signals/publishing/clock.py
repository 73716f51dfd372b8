"""A clock for deadlines: it never jumps, and it goes on while the machine is suspended where the system has one."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Return seconds since some fixed moment."""
    return time.clock_gettime(_BOOT_CLOCK) if _BOOT_CLOCK is not None else time.monotonic()
