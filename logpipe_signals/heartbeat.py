"""The heartbeat of a running relay or consumer: a row that says what it serves, written rarely, removed at its end."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from logpipe_signals.conf import settings
from logpipe_signals.models import Presence

logger = logging.getLogger(__name__)


class Heartbeat:
    """
    Says in a database that this process lives.

    A beat costs a statement every `HEARTBEAT_SECONDS`, and when what is served changes. One that fails is passed over:
    what runs without being seen runs all the same.

    Args:
        serves: Asked at each beat what the process works on now; JSON.
    """

    def __init__(self, using: str, kind: str, name: str, *, group: str = "", serves: Callable[[], Any] = dict) -> None:
        self.using = using
        self.kind = kind
        self.name = name
        self.group = group
        self._serves = serves
        self._next_at = 0.0
        self._told: Any = None

    def beat(self) -> None:
        """Say so when it is time."""
        serves = self._serves()
        if time.monotonic() < self._next_at and serves == self._told:
            return
        self._next_at, self._told = time.monotonic() + settings.HEARTBEAT_SECONDS, serves
        self._robustly(self._say_so)

    def stop(self) -> None:
        """Say that this process ends by its own will."""
        self._robustly(lambda: self._presences().leave(self.kind, self.name))

    def _say_so(self) -> None:
        if not self._presences().seen(self.kind, self.name, self._told):
            self._presences().announce(
                kind=self.kind,
                name=self.name,
                host=socket.gethostname()[:255],
                pid=os.getpid(),
                group=self.group,
                serves=self._told,
            )

    def _robustly(self, do: Callable[[], None]) -> None:
        try:
            do()
        except (DatabaseError, InterfaceError) as error:
            logger.debug("No heartbeat on %r: %s", self.using, error)
            if not connections[self.using].in_atomic_block:
                connections[self.using].close()

    def _presences(self) -> Any:
        return Presence.objects.using(self.using)
