"""The relay as a worker: one process, all aliases with publications, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, connections, router

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.relay import Relay, RelayReport, oldest_pending_seconds
from logpipe_signals.publishing.settling import backoff_seconds
from logpipe_signals.registry import publications

logger = logging.getLogger(__name__)


def published_aliases() -> list[str]:
    """Return the aliases that hold a published model, or may: those where its table and the outbox are migrated."""
    return [
        alias
        for alias in connections
        if router.allow_migrate_model(alias, OutboxRow)
        and any(router.allow_migrate_model(alias, publication.concrete_model) for publication in publications)
    ]


class RelayWorker:
    """Relays one or several aliases in turn, idles when there is nothing, backs off when the log is away."""

    def __init__(self, aliases: Sequence[str] | None = None) -> None:
        self.relays = [Relay(alias) for alias in aliases or published_aliases()]
        self._failures = 0

    def run(self, stop: threading.Event) -> RelayReport:
        """Relay until `stop` is set; then settle what is on its way and hand over the lanes."""
        report = RelayReport()
        try:
            while not stop.is_set():
                step = self._step()
                report += step
                if not step.claimed:
                    stop.wait(self._pause_seconds())
        finally:
            self._stop_relays()
        return report

    def drain(self, stop: threading.Event) -> RelayReport:
        """Relay until nothing is pending on any alias; waits for rows put off and for other relays' lanes."""
        report = RelayReport()
        try:
            while not stop.is_set() and any(OutboxRow.objects.using(relay.using).exists() for relay in self.relays):
                step = self._step()
                report += step
                if not step.claimed:
                    stop.wait(self._pause_seconds())
        finally:
            self._stop_relays()
        return report

    def _step(self) -> RelayReport:
        report = RelayReport()
        for relay in self.relays:
            report += self._relay_robustly(relay)
        return report

    def _relay_robustly(self, relay: Relay) -> RelayReport:
        try:
            relay.keep_lanes()
            report = relay.relay_batch()
        except (BackendUnavailable, LeaseLost) as error:
            self._failed(relay)
            age_seconds = oldest_pending_seconds(relay.using) or 0.0
            logger.warning("%s The oldest pending change of %r is %.0f s old.", error, relay.using, age_seconds)
        except (DatabaseError, InterfaceError) as error:
            self._failed(relay)
            connections[relay.using].close()
            logger.warning("The database %r failed (%s); the relay goes on with a new connection.", relay.using, error)
        else:
            self._failures = 0
            return report
        return RelayReport()

    def _failed(self, relay: Relay) -> None:
        self._failures += 1
        relay.recover()

    def _pause_seconds(self) -> float:
        return backoff_seconds(self._failures) if self._failures else float(settings.RELAY_POLL_SECONDS)

    def _stop_relays(self) -> None:
        for relay in self.relays:
            try:
                relay.stop()
            except (BackendUnavailable, LeaseLost, DatabaseError, InterfaceError) as error:
                logger.warning("The relay of %r ended with work in hand (%s); its lease runs out.", relay.using, error)
