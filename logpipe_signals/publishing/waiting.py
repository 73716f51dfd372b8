"""How an idle relay waits: for PostgreSQL's NOTIFY, for its turn to poll, or for the word to stop."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import connections

from logpipe_signals.conf import settings
from logpipe_signals.publishing.wake import CHANNEL

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.01


class Waiter:
    """
    Waits without spinning.

    Just after there was work it waits for a few milliseconds only, then twice as long each time, up to
    `RELAY_POLL_SECONDS`; a notification or `wake` ends the wait at once.
    """

    def __init__(self, aliases: Sequence[str]) -> None:
        self._aliases = aliases
        self._listeners: dict[str, Any] = {}
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def worked(self) -> None:
        """There was work: look again soon."""
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def wait(self, at_most_seconds: float | None = None) -> None:
        """Wait for a notification, for `wake`, or until it is time to poll."""
        pause_seconds = min(self._pause_seconds if at_most_seconds is None else at_most_seconds, renewal_seconds())
        self._pause_seconds = min(self._pause_seconds * 2, settings.RELAY_POLL_SECONDS)
        listeners = {listener.fileno(): alias for alias, listener in self._listen().items()}
        readable, _, _ = select.select([self._read_end, *listeners], [], [], pause_seconds)
        for descriptor in readable:
            if descriptor in listeners:
                self._take_notifications(listeners[descriptor])
            else:
                os.read(self._read_end, 4096)
            self.worked()

    def wake(self) -> None:
        """End a wait from another thread or a signal handler; after `close` there is none."""
        with suppress(OSError):  # Full: it ends anyway. Closed: there is no such file.
            os.write(self._write_end, b"\0")

    def close(self) -> None:
        """Give up the connections that listen."""
        for alias in list(self._listeners):
            self._drop(alias)
        read_end, write_end = self._read_end, self._write_end
        self._read_end = self._write_end = -1  # Their numbers are soon another file's.
        os.close(read_end)
        os.close(write_end)

    def _listen(self) -> dict[str, Any]:
        for alias in self._aliases:
            if alias not in self._listeners and connections[alias].vendor == "postgresql":
                self._connect(alias)
        return self._listeners

    def _connect(self, alias: str) -> None:
        """Open a connection of its own: Django's is busy, and may be closed when it is old."""
        try:
            import psycopg

            parameters = connections[alias].get_connection_params()
            parameters = {key: value for key, value in parameters.items() if key not in _DJANGO_OWN}
            listener = psycopg.connect(**parameters, autocommit=True)
            listener.execute(f"LISTEN {CHANNEL}")
        except Exception as error:  # noqa: BLE001  (no psycopg 3, no server, a pooler: polling does it)
            logger.debug("No LISTEN on %r (%s); the relay polls.", alias, type(error).__name__)
            return
        self._listeners[alias] = listener

    def _take_notifications(self, alias: str) -> None:
        try:
            for _ in self._listeners[alias].notifies(timeout=0):
                pass
        except Exception as error:  # noqa: BLE001  (the connection is gone: the next wait makes another)
            logger.debug("The listening connection of %r ended (%s).", alias, type(error).__name__)
            self._drop(alias)

    def _drop(self, alias: str) -> None:
        self._listeners.pop(alias).close()


def renewal_seconds() -> float:
    """Return the longest a relay may wait without renewing its leases."""
    return float(settings.LEASE_SECONDS) / 3


_DJANGO_OWN = ("context", "cursor_factory", "prepare_threshold", "server_side_binding")
