"""
Backfills: one row a job, on the database alias whose rows it sends.

Whoever wants something of a job (a command, the admin, another host) says so in its row, in one statement; whoever runs
it holds a lease of kind BACKFILL named by the job's id, and writes each chunk of outbox rows and how far it came in one
transaction. So a job outlives its runner, and two runners never write the same chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from logpipe_signals.models.exact import ExactCharField, ExactTextField
from logpipe_signals.models.expressions import DatabaseNow

if TYPE_CHECKING:
    from typing import Self

DEFAULT_CHUNK_ROWS = 1000


class BackfillState(models.TextChoices):
    """Where a job stands."""

    WAITING = "waiting", "waiting"
    RUNNING = "running", "running"
    PAUSED = "paused", "paused"
    CANCELLED = "cancelled", "cancelled"
    DONE = "done", "done"
    FAILED = "failed", "failed"


class BackfillOf(models.TextChoices):
    """What a job was given to choose its rows by."""

    ROWS = "rows", "all rows, or those that the lookups find"
    PRIMARY_KEYS = "pks", "a list of primary keys"
    DELETED = "deleted", "a list of rows deleted long ago"


RUNNABLE = (BackfillState.WAITING, BackfillState.RUNNING)
UNFINISHED = (*RUNNABLE, BackfillState.PAUSED)


class BackfillQuerySet(models.QuerySet["Backfill"]):
    """The verbs of a job. Each is one statement and tells whether it found the job in a state that allows it."""

    def unfinished(self) -> Self:
        """Keep the jobs that wait, run or are paused."""
        return self.filter(state__in=UNFINISHED)

    def runnable(self) -> Self:
        """Keep the jobs that a runner may take: those that wait, and those whose runner may have died."""
        return self.filter(state__in=RUNNABLE)

    def pause(self) -> int:
        """Let the runner stop after the chunk in hand."""
        return self.runnable().update(state=BackfillState.PAUSED, updated_at=DatabaseNow())

    def resume(self) -> int:
        """Let a runner take a paused or failed job up where it stopped."""
        stopped = self.filter(state__in=[BackfillState.PAUSED, BackfillState.FAILED])
        return stopped.update(state=BackfillState.WAITING, finished_at=None, error="", updated_at=DatabaseNow())

    def cancel(self) -> int:
        """End a job for good; what is in the outbox by now is still sent."""
        live = self.filter(Q(state__in=UNFINISHED) | Q(state=BackfillState.FAILED))
        return live.update(state=BackfillState.CANCELLED, finished_at=DatabaseNow(), updated_at=DatabaseNow())


class Backfill(models.Model):
    """
    One job: rows of one publication that are sent again.

    `where` holds ORM lookups and their values, all of which a row has to meet. `versions` is empty for all versions.
    `last_key` is how far the job came: the text of a primary key (`keys.encode_pk`), or the number of a listed key.
    `end_key` is the last primary key there was at the start: what came later was published by its own save.
    """

    publication = ExactCharField(max_length=200)
    state = models.CharField(max_length=10, choices=BackfillState, default=BackfillState.WAITING)
    rows_of = models.CharField(max_length=10, choices=BackfillOf, default=BackfillOf.ROWS)
    where = models.JSONField(default=dict, blank=True)
    versions = models.JSONField(default=list, blank=True)
    rate = models.FloatField(null=True, blank=True, help_text="The most rows a second.")
    chunk_rows = models.IntegerField(default=DEFAULT_CHUNK_ROWS)
    requested_by = models.CharField(max_length=200, blank=True, default="")

    last_key = ExactTextField(null=True, blank=True)
    end_key = ExactTextField(null=True, blank=True)
    rows_total = models.BigIntegerField(null=True, blank=True, help_text="As estimated when it began.")
    rows_done = models.BigIntegerField(default=0, help_text="Rows put into the outbox.")
    chunks_done = models.BigIntegerField(default=0)
    seconds_run = models.FloatField(default=0, help_text="Without the time it was paused or waited for a runner.")
    last_outbox_id = models.BigIntegerField(
        null=True, blank=True, help_text="Set when the last chunk is in the outbox: done when nothing up to it waits."
    )
    token = models.BigIntegerField(default=0, help_text="Of the lease of whoever runs it, or ran it last.")
    error = ExactTextField(blank=True, default="")

    created_at = models.DateTimeField(db_default=DatabaseNow())
    started_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(db_default=DatabaseNow())
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = BackfillQuerySet.as_manager()

    class Meta:
        permissions = [("control_backfill", "Can start, pause, resume and cancel backfills")]
        indexes = [models.Index(fields=["state", "id"], name="logpipe_backfill_state")]

    def __str__(self) -> str:
        return f"backfill {self.pk} of {self.publication}"

    @property
    def using(self) -> str:
        """Return the alias whose rows it sends, which is where it is kept."""
        return self._state.db or "default"

    @property
    def is_finished(self) -> bool:
        """Tell whether nothing more happens to it by itself."""
        return self.state in (BackfillState.CANCELLED, BackfillState.DONE, BackfillState.FAILED)


class BackfillKey(models.Model):
    """
    One listed primary key of a job, in the order given; removed with the job's end.

    `values` is what a delete needs: its message key, and the lookup fields of each version.
    """

    backfill = models.ForeignKey(Backfill, on_delete=models.CASCADE, related_name="listed", db_index=False)
    number = models.BigIntegerField()
    key = ExactTextField()
    values = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["backfill", "number"], name="logpipe_backfill_key")]

    def __str__(self) -> str:
        return f"{self.backfill_id}: {self.key}"
