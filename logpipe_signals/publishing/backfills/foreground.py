"""
Jobs in the foreground: one after the other, while what is in the outbox is sent by this process too.

On PostgreSQL the chunks are written beside the relaying, by a thread on a connection of its own (`aside`); elsewhere
the two take turns on the connection of whoever calls. Other relays share the lanes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from django.db import InterfaceError, OperationalError, connections
from django.db.models import Min

from logpipe_signals.backend import clock
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.garbage import few_collections
from logpipe_signals.models import Backfill, OutboxRow
from logpipe_signals.models.backfills import RUNNABLE
from logpipe_signals.publishing.aside import Aside
from logpipe_signals.publishing.backfills import control
from logpipe_signals.publishing.backfills.progress import Progress, progress
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.publishing.settling import backoff_seconds
from logpipe_signals.registry import publications

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long nothing at all leaves the outbox before the jobs are paused."""
IDLE_SECONDS = 0.02
CHUNKS_A_TURN = 10
"""How many chunks may go into the outbox, if it bears them, before the job is looked at again, and shown."""
WATCH_SECONDS = 0.5
PASSING = (BackendUnavailable, LeaseLost, OperationalError, InterfaceError)

Watch = Callable[[Backfill, Progress], object]


class Stuck(Exception):
    """Nothing leaves the outbox: the log is away, or nobody sends."""


class Foreground:
    """
    Runs jobs until they end, or until `stop`; then those that did not end are paused.

    Args:
        owner: As given to `control.start`, where the jobs were started for this runner.
        relaying: Whether to send, or to leave that to other relays.
        watch: Called a few times a second with how far the job in hand is.
        tell: Called with a line for whoever watches, when something has to be waited for.
    """

    def __init__(
        self,
        jobs: Sequence[Backfill],
        *,
        owner: str,
        relaying: bool = True,
        watch: Watch = lambda job, seen: None,
        tell: Callable[[str], object] = lambda text: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._jobs = jobs
        self._relaying = relaying
        self._watch = watch
        self._tell = tell
        self._stop = stop or threading.Event()
        self._runners = {
            using: Runner(using, owner=owner, until_sent=relaying) for using in {job.using for job in jobs}
        }
        self._writing = {using: Aside(using, threaded=relaying, name="chunks") for using in self._runners}
        self._in_hand: Future[int] | None = None
        """Chunks that are being written; meanwhile their runner belongs to the thread that writes them."""
        self._relays: dict[str, Relay] = {}
        self._failures = 0
        self._retired = 0
        self._watch_at = 0.0
        self._moved_at = clock.seconds()
        self._seen: object = None

    def run(self) -> None:
        """
        Run the jobs in the order given; afterwards `job.state` says what became of each.

        Raises:
            Stuck: For `PATIENCE_SECONDS` nothing left the outbox; the jobs are paused.
        """
        try:
            with few_collections():
                for job in self._jobs:
                    self._run(job)
        finally:
            self._leave()

    def _run(self, job: Backfill) -> None:
        runner = self._runners[job.using]
        self._moved_at = clock.seconds()
        while not self._stop.is_set() and (self._in_hand is not None or self._is_held(runner, job)):
            busy = self._turn(runner)
            if self._in_hand is None:
                self._show(job)
            if not busy:
                self._stop.wait(backoff_seconds(self._failures) if self._failures else IDLE_SECONDS)
        self._writing[job.using].close()
        job.refresh_from_db(using=job.using)

    def _is_held(self, runner: Runner, job: Backfill) -> bool:
        """Tell whether the job goes on here, taking it when its lease is free; a dead runner's runs out."""
        waiting = False
        while not self._stop.is_set():
            held = {each.pk: each for each in runner.jobs}
            if job.pk in held or runner.take([job.pk]):
                return True
            job.refresh_from_db(using=job.using)
            if job.state not in RUNNABLE or job.publication not in {p.name for p in publications}:
                return False
            if not waiting:
                self._tell(f"Backfill {job.pk} is held by {control.runner_of(job)}; waiting until its lease is free.")
            waiting = True
            self._stop.wait(WATCH_SECONDS)
        return False

    def _turn(self, runner: Runner) -> bool:
        try:
            self._in_hand = self._in_hand or self._writing[runner.using].run(partial(self._fill, runner))
            relayed = self._relay(runner.using)
            written = self._gathered()
            if written is not None:
                self._failures = 0
            return bool(written) or relayed
        except PASSING as error:
            self._recover(runner.using, error)
            with suppress(*PASSING):
                self._gathered()  # They ended with `_recover`: the job is looked at though the log is away.
            return False

    def _gathered(self) -> int | None:
        """Return how many rows were written; None as long as they are. Then the runner may be asked again."""
        if self._in_hand is None or not self._in_hand.done():
            return None
        written, self._in_hand = self._in_hand, None
        return written.result()

    def _fill(self, runner: Runner) -> int:
        written = 0
        for _ in range(CHUNKS_A_TURN):
            rows = 0 if self._stop.is_set() else runner.step()
            if not rows:
                break
            written += rows
        return written

    def _relay(self, using: str) -> bool:
        if not self._relaying:
            return False
        if using not in self._relays:
            self._relays[using] = Relay(using, threaded=True)
        relay = self._relays[using]
        relay.keep_lanes()
        report = relay.relay_batch()
        self._retired += report.retired
        return bool(report.claimed or report.retired)

    def _recover(self, using: str, error: Exception) -> None:
        self._failures += 1
        self._tell(f"{type(error).__name__}: {error} Trying again.")
        self._writing[using].close()
        if isinstance(error, OperationalError | InterfaceError):
            connections[using].close()
            # Perhaps there is no connection to spare: they take turns from now on.
            self._writing[using] = Aside(using, threaded=False)
        if using in self._relays:
            self._relays[using].recover()

    def _show(self, job: Backfill) -> None:
        if clock.seconds() < self._watch_at:
            return
        self._watch_at = clock.seconds() + WATCH_SECONDS
        runner = self._runners[job.using]
        current = next((each for each in runner.jobs if each.pk == job.pk), job)
        seen = progress(current)
        self._watch(current, seen)
        oldest = OutboxRow.objects.using(job.using).aggregate(oldest=Min("id"))["oldest"]
        moved = (current.pk, seen.rows_done, seen.rows_waiting, self._retired, oldest)
        if moved != self._seen or not seen.rows_waiting:
            self._seen, self._moved_at = moved, clock.seconds()
        elif clock.seconds() - self._moved_at > PATIENCE_SECONDS:
            raise Stuck(
                f"For {PATIENCE_SECONDS:.0f} s none of the {seen.rows_waiting:,} rows that wait left the outbox."
            )

    def _leave(self) -> None:
        """Pause what did not end, finish the chunks and the batch in hand, and hand everything over."""
        try:
            for writing in self._writing.values():
                writing.close()
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        for job in self._jobs:
            job.refresh_from_db(using=job.using)
            if job.state in RUNNABLE and control.runner_of(job) in ("", self._runners[job.using].owner):
                control.pause(job)
        for runner in self._runners.values():
            runner.stop()
        for relay in self._relays.values():
            try:
                relay.stop()
            except (BackendUnavailable, LeaseLost) as error:
                logger.warning("The relay of %r ended with work in hand (%s); it stays pending.", relay.using, error)
