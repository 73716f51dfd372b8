"""
Database work beside the relay: while one batch is made and sent, the one before is retired and the next one is claimed,
and a backfill writes its next chunks.

A thread does it, on a connection of its own; so whoever waits for the database is not the one who serialises. It is
worth while in front of a backlog only: a relay that keeps up has neither thread nor second connection. A backfill in
the foreground has three: the caller's, the relay's, and that of the chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connections

from logpipe_signals.publishing.transactions import commit_each_statement

Outcome = TypeVar("Outcome")


class Aside:
    """Does what it is given, one after the other; inside a transaction, or where there is no second writer, at once."""

    def __init__(self, using: str, *, threaded: bool, name: str = "relay") -> None:
        self._name = name
        self._using = using
        self._threaded = threaded
        self._thread: ThreadPoolExecutor | None = None
        self._connection: Any = None

    @property
    def overlaps(self) -> bool:
        """Tell whether what it is given is done while the caller goes on."""
        connection = connections[self._using]
        return self._threaded and connection.vendor == "postgresql" and not connection.in_atomic_block

    def run(self, work: Callable[[], Outcome]) -> Future[Outcome]:
        """
        Do this, and return what comes of it.

        `work` sees the committed state, and may touch nothing that the caller goes on to change.
        """
        if not self.overlaps:
            return done(work)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(
                1, thread_name_prefix=f"logpipe-{self._name}-aside", initializer=self._begin
            )
        return self._thread.submit(work)

    def close(self) -> None:
        """
        Wait for what was given, and give up the thread and its connection; more work begins with new ones.

        So it is called after a failure too: the connection may be broken.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._disconnect)
            try:
                thread.shutdown()
            except KeyboardInterrupt:
                self._cancel()
                thread.shutdown()
                raise

    def _begin(self) -> None:
        commit_each_statement(self._using)
        self._connection = connections[self._using]

    def _cancel(self) -> None:
        """Give up the statement in hand: whoever waited for it was told to stop at once."""
        if self._connection is not None and (raw := self._connection.connection) is not None:
            raw.cancel()

    def _disconnect(self) -> None:
        """Close the connection of the thread that calls this."""
        connections[self._using].close()


def done(work: Callable[[], Outcome]) -> Future[Outcome]:
    """Do this now."""
    future: Future[Outcome] = Future()
    future.set_result(work())
    return future
