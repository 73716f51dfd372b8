"""
The inline relay: the process that saved sends, after its commit, within a bound; a sweeper sends what was left behind.

What can be left behind: a process killed between commit and send, lanes another process was busy with, changes made by
triggers, rows that wait for another try, and everything while the broker is away. The sweeper is a daemon thread,
started with the first commit of a published change. It opens a database connection only while it works, and none while
a circuit breaker says that the broker was away a moment ago, except to try again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from logpipe_signals import signals
from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.relay import Relay, drain_by, oldest_pending_seconds
from logpipe_signals.publishing.transactions import commit_each_statement

logger = logging.getLogger(__name__)

MOST_SWEEP_SECONDS = 10.0
"""How long one alias is swept before the next has its turn."""


class Breaker:
    """Open: the broker was found away, nobody waits for it in a save. The sweeper finds out when it is back."""

    def __init__(self) -> None:
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether sends are left to the sweeper."""
        return clock.seconds() < self._open_until

    def trip(self) -> None:
        """Open for a while."""
        self._open_until = clock.seconds() + settings.BREAKER_SECONDS

    def reset(self) -> None:
        """Close: the broker answers."""
        self._open_until = 0.0


breaker = Breaker()


def send_now(using: str, lanes: Collection[int]) -> None:
    """Send what is pending in these lanes, within `INLINE_WAIT_SECONDS`; never raises."""
    sweeper.start(using)
    if breaker.is_open:
        return
    relay = Relay(using)
    try:
        if relay.take_lanes(lanes):
            _drain_within(relay, settings.INLINE_WAIT_SECONDS)
    except (BackendUnavailable, LeaseLost) as error:
        breaker.trip()
        _announce_lost(error)
        logger.warning("The log is away (%s); changes stay in the outbox of %r and are sent later.", error, using)
    except Exception:
        logger.exception("Sending inline failed; the changes stay in the outbox of %r and are sent later.", using)


def _drain_within(relay: Relay, wait_seconds: float) -> None:
    try:
        deadline = relay.give_up_at = clock.seconds() + wait_seconds
        relay.drain(deadline=deadline, batches=settings.INLINE_BATCHES, thorough=False)
    finally:
        relay.stop()
    breaker.reset()


class Sweeper:
    """One thread a process. It looks at each alias that published something, every `SWEEP_SECONDS`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._aliases: set[str] = set()
        self._kept_waiting: dict[str, frozenset[str]] = {}
        """By alias, the publications of which the log took nothing at the last sweep: the others come first."""
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self, using: str) -> None:
        """Sweep this alias from now on; a thread does not survive a fork, so each process starts its own."""
        if using in self._aliases and self._pid == os.getpid() and self._thread and self._thread.is_alive():
            return
        if _is_in_memory(using):
            return  # It goes with this process, and a second thread would only lock its tables under the first.
        with self._lock:
            self._aliases.add(using)
            if self._pid == os.getpid() and self._thread and self._thread.is_alive():
                return
            self._pid = os.getpid()
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=[self._stop], name="logpipe-sweeper", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(timeout_seconds)
        self._thread = None
        self._aliases.clear()
        self._kept_waiting.clear()

    def restart_after_fork(self) -> None:
        """Have a lock of one's own: the parent's may have been held by a thread that the child does not have."""
        self._lock = threading.Lock()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(settings.SWEEP_SECONDS):
            for using in list(self._aliases):
                self._sweep_robustly(using)

    def _sweep_robustly(self, using: str) -> None:
        try:
            self.sweep(using)
        except (BackendUnavailable, LeaseLost) as error:
            breaker.trip()
            _announce_lost(error)
            _warn_of_age(using, error)
        except Exception:
            logger.exception("The sweeper could not send what is pending on %r; it tries again.", using)
        finally:
            connections[using].close()

    def sweep(self, using: str) -> None:
        """Send what was left behind."""
        commit_each_statement(using)
        if not OutboxRow.objects.using(using).exists():
            return
        relay = Relay(using, kept_waiting=self._kept_waiting.get(using, frozenset()))
        try:
            drain_by(relay, at_most_seconds=MOST_SWEEP_SECONDS)
        finally:
            self._kept_waiting[using] = relay.kept_waiting
        breaker.reset()


def _is_in_memory(using: str) -> bool:
    connection: Any = connections[using]
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _announce_lost(error: Exception) -> None:
    if isinstance(error, BackendUnavailable):
        signals.announce(signals.log_lost, None, side="publisher", error=error)


def _warn_of_age(using: str, error: Exception) -> None:
    try:
        age_seconds = oldest_pending_seconds(using) or 0.0
    except (DatabaseError, InterfaceError):
        logger.warning("The log is away (%s), and so is the database %r.", error, using)
        return
    logger.warning("The log is away (%s); the oldest pending change of %r is %.0f s old.", error, using, age_seconds)


sweeper = Sweeper()
os.register_at_fork(after_in_child=sweeper.restart_after_fork)
