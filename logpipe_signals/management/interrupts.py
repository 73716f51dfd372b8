"""Commands that end in good order when they are told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def until_told(stopping: Callable[[], object] = lambda: None) -> Iterator[threading.Event]:
    """
    Give an event that the first SIGINT or SIGTERM sets; the second one raises KeyboardInterrupt.

    Args:
        stopping: Called with the first one, by a thread of its own, to tell whoever waits.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    told: list[int] = []

    def set_stop() -> None:
        stop.set()
        stopping()

    def handle(number: int, frame: Any) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(number)
        # Not here: the thread that this interrupts may hold the event's lock, or the terminal's.
        threading.Thread(target=set_stop, name="logpipe-stopping").start()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
