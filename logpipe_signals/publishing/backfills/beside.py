"""
Jobs beside the relay: a thread of `manage.py run_relay` that takes whatever job waits, or was left by a dead runner.

    with beside(["default"]):
        RelayWorker(["default"]).run()

The thread writes chunks into the outbox on connections of its own; the relay sends them when no live change waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from django.db import Error, InterfaceError, OperationalError, ProgrammingError, connections

from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.models import Lease
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.lanes import relay_id
from logpipe_signals.publishing.settling import backoff_seconds

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often an idle thread looks for jobs."""
YIELD_SECONDS = 0.05
"""How often it looks whether the outbox bears more rows."""
STOP_SECONDS = 20.0


@contextmanager
def beside(aliases: Sequence[str]) -> Iterator[None]:
    """Run the jobs of these aliases while the block runs."""
    stop = threading.Event()
    threads = [_Thread(alias, stop) for alias in aliases]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(STOP_SECONDS)


class _Thread(threading.Thread):
    """One alias's jobs."""

    def __init__(self, using: str, stop: threading.Event) -> None:
        super().__init__(name=f"logpipe-backfills-{using}", daemon=True)
        self._using = using
        self._stopping = stop
        self._runner = Runner(using, owner=relay_id())
        self._failures = 0
        self._announce_at = 0.0
        self._look_at = 0.0

    def run(self) -> None:
        try:
            while not self._stopping.wait(self._turn()):
                pass
            self._leave()
        finally:
            connections[self._using].close()

    def _turn(self) -> float:
        """Do what there is to do, and return how long to wait then."""
        try:
            self._announce()
            written = self._work()
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            connections[self._using].close()
            self._failures += 1
            pause_seconds = max(LOOK_SECONDS, backoff_seconds(self._failures))
            cure = " Run manage.py migrate logpipe_signals." if isinstance(error, ProgrammingError) else ""
            logger.warning(
                "Backfills of %r wait for the database (%s).%s Trying again.", self._using, type(error).__name__, cure
            )
            return pause_seconds
        self._failures = 0
        if written:
            return 0
        return YIELD_SECONDS if self._runner.jobs else LOOK_SECONDS

    def _work(self) -> int:
        if clock.seconds() >= self._look_at:
            self._look_at = clock.seconds() + LOOK_SECONDS
            for job in self._runner.take():
                logger.info("Backfill %s of %s: going on behind %s rows.", job.pk, job.publication, job.rows_done)
        return self._runner.step()

    def _announce(self) -> None:
        """Let others see that somebody would run a job."""
        if clock.seconds() < self._announce_at:
            return
        self._announce_at = clock.seconds() + settings.LEASE_SECONDS / 3
        leases, owner = Lease.objects.using(self._using), self._runner.owner
        leases.of_kind(LeaseKind.RUNNER).free().delete()
        leases.ensure(LeaseKind.RUNNER, [owner])
        if not leases.renew(LeaseKind.RUNNER, owner=owner, lease_seconds=settings.LEASE_SECONDS):
            leases.take(LeaseKind.RUNNER, [owner], owner=owner, lease_seconds=settings.LEASE_SECONDS)

    def _leave(self) -> None:
        with suppress(Error):  # Away: the leases run out.
            self._runner.stop()
            Lease.objects.using(self._using).of_kind(LeaseKind.RUNNER).filter(name=self._runner.owner).delete()
