"""
Being told to stop: by a signal, or by another thread.

The work in hand is done first. If it does not end, because user code hangs, or if a second signal comes, it is broken
off: its transaction is rolled back, and whoever comes next reads its records again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CAN_SET_ALARMS = hasattr(signal, "SIGALRM")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST_STOP_SECONDS = 20.0
"""Less than what supervisors commonly wait before they kill."""


class BrokenOff(BaseException):
    """The work in hand did not end after a stop was asked for. No `Exception`: user code is not to swallow it."""


class Stop:
    """A request to stop, and a sleep that it ends."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._signals = 0

    def take(self, *_: Any) -> None:
        """
        Take a signal.

        Raises:
            BrokenOff: It is not the first one, or the time is up.
        """
        self._signals += 1
        if self._signals > 1:
            raise BrokenOff
        self.request()
        if CAN_SET_ALARMS:
            signal.signal(signal.SIGALRM, self.take)
            signal.setitimer(signal.ITIMER_REAL, LONGEST_STOP_SECONDS)

    def request(self, *_: Any) -> None:
        """Ask for a clean end after the work in hand."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Tell whether somebody asked."""
        return self._event.is_set()

    def pause(self, seconds: float) -> None:
        """Sleep, until somebody asks."""
        self._event.wait(seconds)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as the request, and put the earlier handlers back afterwards."""
        before = {number: signal.signal(number, self.take) for number in SIGNALS}
        if CAN_SET_ALARMS:
            before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
        try:
            yield
        finally:
            if CAN_SET_ALARMS:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
