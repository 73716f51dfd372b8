"""Being told to stop: by a signal, or by another thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A request to stop, and a sleep that it ends."""

    def __init__(self) -> None:
        self._event = threading.Event()

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
        before = {number: signal.signal(number, self.request) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
