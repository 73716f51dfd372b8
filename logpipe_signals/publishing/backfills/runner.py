"""
Running jobs: chunk after chunk, under one lease a job.

A chunk's outbox rows and how far the job came are one transaction, which begins by asking whether the job still runs
under this runner's token. So a job goes on behind the last committed chunk whoever takes it up, a runner that lost its
lease writes nothing, and a job that was paused or cancelled from elsewhere stops after the chunk in hand.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.db import Error, InterfaceError, OperationalError, transaction
from django.db.models import F, Max
from django.db.models.functions import Coalesce

from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.models import Backfill, BackfillKey, Lease, OutboxRow
from logpipe_signals.models.backfills import BackfillOf, BackfillState
from logpipe_signals.models.expressions import DatabaseNow
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing import wake
from logpipe_signals.publishing.backfills.chunks import last_key_of, next_chunk
from logpipe_signals.publishing.backfills.gate import Gate, Pacer
from logpipe_signals.publishing.backfills.progress import count_rows
from logpipe_signals.publishing.backfills.targets import Target, target
from logpipe_signals.publishing.lanes import relay_id
from logpipe_signals.publishing.settling import storable
from logpipe_signals.registry import publications

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often a runner asks whether its jobs were paused or cancelled while it has nothing to write."""
SLOW_CHUNK_FACTOR = 5
"""How many times the slowest chunk a lease lasts, where that is longer than `LEASE_SECONDS`."""
LONGEST_ERROR = 2000


class _Stopped(Exception):
    """The job is no longer this runner's: paused, cancelled, or taken over."""


@dataclass
class _Run:
    """A job in hand."""

    job: Backfill
    found: Target
    gate: Gate
    pacer: Pacer
    limit: int
    marked_at: float = field(default_factory=clock.seconds)

    def seconds_since(self) -> float:
        """Return the time since the last call."""
        before, self.marked_at = self.marked_at, clock.seconds()
        return self.marked_at - before


class Runner:
    """
    Runs jobs of one database alias, several at once, a chunk of each in turn.

    Args:
        owner: Names this runner among others; by default host, process and a random part.
        until_sent: Whether a job is done when its rows have left the outbox, or as soon as they are in it.
    """

    def __init__(self, using: str, *, owner: str | None = None, until_sent: bool = True) -> None:
        self.using = using
        self.owner = owner or relay_id()
        self._until_sent = until_sent
        self._runs: dict[int, _Run] = {}
        self._slowest_chunk_seconds = 0.0
        self._renew_at = 0.0
        self._look_at = 0.0

    @property
    def jobs(self) -> list[Backfill]:
        """Return the jobs in hand, as far as they came."""
        return [run.job for run in self._runs.values()]

    def take(self, numbers: Collection[int] | None = None) -> list[Backfill]:
        """
        Take the jobs that wait and those that a dead runner left, as far as their leases are free.

        Jobs of a publication that this release does not know are passed over: another release's runner takes them.

        Args:
            numbers: These alone; None: all.
        """
        free = Backfill.objects.using(self.using).runnable().filter(publication__in=[p.name for p in publications])
        if numbers is not None:
            free = free.filter(pk__in=numbers)
        wanted = [job for job in free.order_by("pk") if job.pk not in self._runs]
        if not wanted:
            return []
        names = [str(job.pk) for job in wanted]
        self._leases.ensure(LeaseKind.BACKFILL, names)
        tokens = self._leases.take(LeaseKind.BACKFILL, names, owner=self.owner, lease_seconds=self._lease_seconds)
        return [job for job in wanted if str(job.pk) in tokens and self._begin(job, tokens[str(job.pk)])]

    def step(self) -> int:
        """
        Write the next chunk of each job in hand that may go on, and return how many rows that were.

        Raises:
            OperationalError, InterfaceError: The database is away; nothing is lost, call again.
        """
        self._keep()
        return sum(self._advance(run) for run in list(self._runs.values()))

    def stop(self) -> None:
        """Leave the jobs in hand to whoever takes them, at once."""
        for run in list(self._runs.values()):
            self._row(run).update(state=BackfillState.WAITING, seconds_run=F("seconds_run") + run.seconds_since())
        self._runs.clear()
        self._leases.release(LeaseKind.BACKFILL, owner=self.owner)

    # --- taking and keeping -------------------------------------------------------------------------------------

    def _begin(self, job: Backfill, token: int) -> bool:
        begun = (
            Backfill.objects.using(self.using)
            .runnable()
            .filter(pk=job.pk)
            .update(
                state=BackfillState.RUNNING,
                token=token,
                started_at=Coalesce("started_at", DatabaseNow()),
                updated_at=DatabaseNow(),
            )
        )
        if not begun:
            self._let_go(job)
            return False
        job.refresh_from_db(using=self.using)
        try:
            found = target(job.publication, self.using)
            if job.rows_total is None:
                self._measure(job, found)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  (lookups and fields of the project may raise anything)
            self._fail(job, error)
            return False
        self._runs[job.pk] = _Run(job, found, Gate(found), Pacer(job.rate), job.chunk_rows)
        return True

    def _measure(self, job: Backfill, found: Target) -> None:
        """Find out where the table ends now, and how many rows that makes."""
        if job.rows_of == BackfillOf.ROWS:
            job.end_key = last_key_of(found)
            job.rows_total, _ = count_rows(found, job.where)
        else:
            job.rows_total = BackfillKey.objects.using(self.using).filter(backfill_id=job.pk).count()
        job.save(using=self.using, update_fields=["end_key", "rows_total"])

    def _keep(self) -> None:
        if self._runs and clock.seconds() >= self._renew_at:
            asked_at = clock.seconds()
            held = self._leases.renew(LeaseKind.BACKFILL, owner=self.owner, lease_seconds=self._lease_seconds)
            self._renew_at = asked_at + self._lease_seconds / 3
            for number in [number for number in self._runs if str(number) not in held]:
                logger.warning("Backfill %s was held up past its lease; another runner may go on with it.", number)
                del self._runs[number]
        if self._runs and clock.seconds() >= self._look_at:
            self._look_at = clock.seconds() + LOOK_SECONDS
            self._drop_stopped()

    def _drop_stopped(self) -> None:
        jobs = Backfill.objects.using(self.using).filter(pk__in=list(self._runs), state=BackfillState.RUNNING)
        tokens = dict(jobs.values_list("pk", "token"))
        for number, run in list(self._runs.items()):
            if tokens.get(number) != run.job.token:
                self._drop(run)

    # --- writing ------------------------------------------------------------------------------------------------

    def _advance(self, run: _Run) -> int:
        try:
            if run.job.last_outbox_id is not None:
                self._finish(run)
                return 0
            return self._write(run)
        except _Stopped:
            self._drop(run)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  (lookups, fields and serializers of the project may raise anything)
            del self._runs[run.job.pk]
            self._fail(run.job, error)
        return 0

    def _write(self, run: _Run) -> int:
        room = run.gate.room() if run.pacer.is_due else 0
        if not room:
            return 0
        limit = min(room, run.limit, run.pacer.most_rows or run.limit)
        started = clock.seconds()
        written = self._write_chunk(run, limit)
        wake.notify(self.using)
        run.pacer.went(written)
        self._took(run, limit, clock.seconds() - started)
        return written

    def _write_chunk(self, run: _Run, limit: int) -> int:
        chunk = next_chunk(run.job, run.found, limit)
        changes: dict[str, Any] = {"last_key": chunk.last_key}
        with transaction.atomic(using=self.using):
            # First of all: on SQLite nothing may be read before the lock is taken, nor be written for another runner.
            if not self._row(run).update(updated_at=DatabaseNow()):
                raise _Stopped
            written = chunk.write()
            if chunk.is_last:
                changes["last_outbox_id"] = self._outbox.aggregate(last=Max("id"))["last"] or 0
            seconds = run.seconds_since()
            self._row(run).update(
                **changes,
                rows_done=F("rows_done") + written,
                chunks_done=F("chunks_done") + 1,
                seconds_run=F("seconds_run") + seconds,
            )
        for name, value in changes.items():
            setattr(run.job, name, value)
        run.job.rows_done += written
        run.job.chunks_done += 1
        run.job.seconds_run += seconds
        return written

    def _took(self, run: _Run, limit: int, seconds: float) -> None:
        """Make chunks smaller where rows are slow to read: leases are renewed between them."""
        self._slowest_chunk_seconds = max(self._slowest_chunk_seconds, seconds)
        if seconds > settings.LEASE_SECONDS / 3:
            run.limit = max(1, limit // 2)

    def _finish(self, run: _Run) -> None:
        waiting = run.found.waiting().filter(id__lte=run.job.last_outbox_id)
        if self._until_sent and waiting.exists():
            return
        done = self._row(run).update(
            state=BackfillState.DONE,
            finished_at=DatabaseNow(),
            updated_at=DatabaseNow(),
            seconds_run=F("seconds_run") + run.seconds_since(),
        )
        if not done:
            raise _Stopped
        BackfillKey.objects.using(self.using).filter(backfill_id=run.job.pk).delete()
        del self._runs[run.job.pk]
        self._leases.of_kind(LeaseKind.BACKFILL).filter(name=str(run.job.pk), owner=self.owner).delete()

    # --- ending -------------------------------------------------------------------------------------------------

    def _fail(self, job: Backfill, error: Exception) -> None:
        logger.error("Backfill %s of %s failed: %s.", job.pk, job.publication, type(error).__name__)
        if isinstance(error, Error):
            # Its text may show a row's values, which are nobody's business here.
            text = f"{type(error).__name__}: the database refused a chunk. Its own log says more."
        else:
            text = f"{type(error).__name__}: {error}"
        Backfill.objects.using(self.using).filter(pk=job.pk, token=job.token, state=BackfillState.RUNNING).update(
            state=BackfillState.FAILED, error=storable(text)[:LONGEST_ERROR], finished_at=DatabaseNow()
        )
        self._let_go(job)

    def _drop(self, run: _Run) -> None:
        self._runs.pop(run.job.pk, None)
        self._let_go(run.job)

    def _let_go(self, job: Backfill) -> None:
        self._leases.release(LeaseKind.BACKFILL, owner=self.owner, names=[str(job.pk)])

    def _row(self, run: _Run) -> Any:
        jobs = Backfill.objects.using(self.using)
        return jobs.filter(pk=run.job.pk, token=run.job.token, state=BackfillState.RUNNING)

    @property
    def _outbox(self) -> Any:
        return OutboxRow.objects.using(self.using)

    @property
    def _leases(self) -> Any:
        return Lease.objects.using(self.using)

    @property
    def _lease_seconds(self) -> float:
        return max(float(settings.LEASE_SECONDS), SLOW_CHUNK_FACTOR * self._slowest_chunk_seconds)
