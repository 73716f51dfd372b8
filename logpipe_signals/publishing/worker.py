"""The relay as a worker: one process, all aliases with publications, until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import DatabaseError, InterfaceError, connections, router
from django.dispatch import Signal

from logpipe_signals import signals
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.garbage import few_collections
from logpipe_signals.heartbeat import Heartbeat
from logpipe_signals.models import OutboxRow
from logpipe_signals.models.presence import PresenceKind
from logpipe_signals.publishing.relay import Relay, RelayReport, oldest_pending_seconds
from logpipe_signals.publishing.settling import backoff_seconds
from logpipe_signals.publishing.transactions import commit_each_statement
from logpipe_signals.publishing.waiting import Waiter
from logpipe_signals.registry import publications

logger = logging.getLogger(__name__)


def published_aliases() -> list[str]:
    """Return the aliases that may hold a published model: those where its table and the outbox are migrated."""
    return [
        alias
        for alias in connections
        if router.allow_migrate_model(alias, OutboxRow)
        and any(router.allow_migrate_model(alias, publication.concrete_model) for publication in publications)
    ]


class RelayWorker:
    """
    Relays one or several aliases in turn, idles when there is nothing, backs off when the log is away.

    Args:
        beat: Called at every turn, at least each third of `LEASE_SECONDS`: for a liveness probe.
    """

    def __init__(self, aliases: Sequence[str] | None = None, *, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self.report = RelayReport()
        """What was done so far."""
        self.relays = [Relay(alias, threaded=True) for alias in aliases or published_aliases()]
        self._heartbeats = {
            relay.using: Heartbeat(relay.using, PresenceKind.RELAY, relay.lanes.owner) for relay in self.relays
        }
        for relay in self.relays:
            commit_each_statement(relay.using)
        self._waiter = Waiter([relay.using for relay in self.relays])
        self._failures = 0
        self._stopping = False

    def stop(self) -> None:
        """End `run` or `drain` after the batch in hand. May be called from a signal handler or another thread."""
        self._stopping = True
        self._waiter.wake()

    def run(self) -> RelayReport:
        """Relay until `stop`; then settle what is on its way and hand over the lanes."""
        return self._relay_while(lambda: True)

    def drain(self) -> RelayReport:
        """Relay until nothing is pending on any alias; waits for rows put off and for other relays' lanes."""
        return self._relay_while(self._anything_pending)

    def _relay_while(self, go_on: Callable[[], bool]) -> RelayReport:
        self._announce(signals.relay_started)
        try:
            with few_collections():
                while not self._stopping and go_on():
                    step = self._step()
                    self.report += step
                    self._idle(step)
        finally:
            self._stop_relays()
        return self.report

    def _announce(self, signal: Signal) -> None:
        for relay in self.relays:
            signals.announce(signal, None, alias=relay.using, name=relay.lanes.owner)

    def _anything_pending(self) -> bool:
        names = [*publications.sendable("state"), *publications.sendable("change")]
        return any(_is_pending(relay.using, names) for relay in self.relays)

    def _idle(self, step: RelayReport) -> None:
        if self._failures:
            self._waiter.wait(backoff_seconds(self._failures))
        elif step.claimed:
            self._waiter.worked()
        else:
            self._waiter.wait()

    def _step(self) -> RelayReport:
        self._beat()
        report = RelayReport()
        for relay in self.relays:
            report += self._relay_robustly(relay)
        return report

    def _relay_robustly(self, relay: Relay) -> RelayReport:
        self._heartbeats[relay.using].beat()
        try:
            relay.keep_lanes()
            report = relay.relay_batch()
        except (BackendUnavailable, LeaseLost) as error:
            self._recover(relay)
            logger.warning("%s %s", error, _age(relay.using))
            if isinstance(error, BackendUnavailable):
                signals.announce(signals.log_lost, None, side="publisher", error=error)
        except (DatabaseError, InterfaceError) as error:
            connections[relay.using].close()
            self._recover(relay)
            logger.warning("The database %r failed (%s); the relay goes on with a new connection.", relay.using, error)
        else:
            self._failures = 0
            return report
        return RelayReport()

    def _recover(self, relay: Relay) -> None:
        self._failures += 1
        relay.recover()

    def _stop_relays(self) -> None:
        for relay in self.relays:
            self._heartbeats[relay.using].stop()
            try:
                relay.stop()
            except (BackendUnavailable, LeaseLost, DatabaseError, InterfaceError) as error:
                logger.warning("The relay of %r ended with work in hand (%s); its lease runs out.", relay.using, error)
        self._waiter.close()
        self._announce(signals.relay_stopped)


def _is_pending(using: str, names: Sequence[str]) -> bool:
    """Tell whether rows wait; a database that is away may hold some, and the next turn waits for it."""
    try:
        return OutboxRow.objects.using(using).filter(publication__in=names).exists()
    except (DatabaseError, InterfaceError):
        connections[using].close()
        return True


def _age(using: str) -> str:
    try:
        seconds = oldest_pending_seconds(using)
    except (DatabaseError, InterfaceError):
        return ""
    return "" if seconds is None else f"The oldest pending change of {using!r} is {seconds:.0f} s old."
