"""What `republish_all` shows: a bar on a terminal, a line now and then elsewhere, tables, and an end report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from tqdm import tqdm

from logpipe_signals.backend import clock
from logpipe_signals.models import Backfill, DeadLetter
from logpipe_signals.models.backfills import BackfillOf, BackfillState
from logpipe_signals.models.dead_letters import DeadLetterState, Side
from logpipe_signals.publishing.backfills import Plan, Progress, backfill_aliases, progress

LINE_SECONDS = 10.0
BAR = "{desc}: {percentage:3.0f}% |{bar}| {n:,}/{total:,} rows [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
BAR_OF_UNKNOWN = "{desc}: {n:,} rows [{elapsed}, {rate_fmt}{postfix}]"
HEADINGS = ("job", "publication", "state", "sent", "of", "rows/s", "left", "asked by", "run by")


class Screen:
    """Shows how far one job after the other is, on stderr, so that a report on stdout stays a report."""

    def __init__(self, *, quiet: bool, bars: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._bars = bars and self._stream.isatty()
        self._bar: Any = None
        self._job: int | None = None
        self._line_at = clock.seconds() + LINE_SECONDS

    def watch(self, job: Backfill, seen: Progress) -> None:
        """Show how far a job is."""
        if self._quiet:
            return
        if self._bars:
            self._draw(job, seen)
        elif clock.seconds() >= self._line_at:
            self._line_at = clock.seconds() + LINE_SECONDS
            self.tell(_line(job, seen))

    def tell(self, text: str) -> None:
        """Write a line past the bar."""
        if not self._quiet:
            tqdm.write(text, file=self._stream) if self._bars else print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self, job: Backfill, seen: Progress) -> None:
        if self._job != job.pk:
            self.close()
            self._job = job.pk
            self._bar = tqdm(
                desc=job.publication,
                total=seen.rows_total,
                initial=seen.rows_sent,
                file=self._stream,
                unit=" rows",
                dynamic_ncols=True,
                bar_format=BAR if seen.rows_total else BAR_OF_UNKNOWN,
            )
        self._bar.set_postfix_str(f"{seen.rows_waiting:,} in the outbox", refresh=False)
        self._bar.update(max(0, seen.rows_sent - self._bar.n))
        self._bar.refresh()


def heading(job: Backfill) -> str:
    """Return which job begins, and of which rows."""
    where = " and ".join(f"{lookup}={value}" for lookup, value in job.where.items())
    versions = ", ".join(map(str, job.versions))
    chosen = [
        where,
        f"version {versions} alone" if versions else "",
        "" if job.rate is None else f"{job.rate:g} rows/s",
    ]
    told = "; ".join(each for each in chosen if each)
    return f"Backfill {job.pk} of {job.publication} on {job.using!r}{f' ({told})' if told else ''}"


def report(job: Backfill) -> str:
    """Return what became of a job, in a sentence or two."""
    rows = f"{job.rows_done:,} {'deletes' if job.rows_of == BackfillOf.DELETED else 'rows'}"
    head = f"{job.publication} on {job.using!r}: "
    if job.state == BackfillState.DONE:
        pace = f", {job.rows_done / job.seconds_run:,.0f} rows/s" if job.seconds_run and job.rows_done else ""
        return f"{head}{rows} sent in {span(job.seconds_run)}{pace}.{_dead_letters(job)}"
    head += f"{job.state}, {_so_far(job)}."
    if job.state == BackfillState.FAILED:
        return f"{head} {job.error}\nMend it, and go on with: {resume_command(job)}"
    return head if job.state == BackfillState.CANCELLED else f"{head}\nGo on with: {resume_command(job)}"


def resume_command(job: Backfill) -> str:
    """Return the command that goes on with a job."""
    others = [alias for alias in backfill_aliases() if alias != job.using]
    alone = not any(Backfill.objects.using(alias).filter(pk=job.pk).exists() for alias in others)
    database = "" if alone else f" --database {job.using}"
    return f"manage.py republish_all --resume {job.pk}{database}"


def dead_letters_since(job: Backfill) -> int:
    """Return how many rows of the publication were set aside since the job began, and still are."""
    letters = DeadLetter.objects.using(job.using).filter(
        side=Side.PUBLISHER, state=DeadLetterState.OPEN, publication=job.publication
    )
    return letters.filter(modified__gte=job.started_at or job.created_at).count()


def plan_text(found: Plan) -> str:
    """Return a plan as a line."""
    about = "about " if found.is_estimated else ""
    chunks = f"{found.chunks:,} chunk{'' if found.chunks == 1 else 's'}"
    head = f"{found.publication} on {found.using!r}: {about}{found.rows:,} rows would be sent, in {chunks}"
    if found.seconds is None or found.rows_per_second is None:
        return f"{head}; how long that takes is not known, none was measured yet."
    why = "as the last one did" if found.is_measured else "the rate asked for"
    return f"{head}, in about {span(found.seconds)} at {found.rows_per_second:,.0f} rows/s ({why})."


def table(jobs: Sequence[Backfill]) -> str:
    """Return jobs as a table."""
    rows = [HEADINGS, *(_cells(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    right = {0, 3, 4, 5, 6}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def span(seconds: float) -> str:
    """Return a time as a person says it: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _line(job: Backfill, seen: Progress) -> str:
    total = f" of {seen.rows_total:,}" if seen.rows_total is not None else ""
    share = f" ({seen.share:.0%})" if seen.share is not None else ""
    pace = f", {seen.rows_per_second:,.0f} rows/s" if seen.rows_per_second else ""
    left = f", {span(seen.seconds_left)} left" if seen.seconds_left is not None else ""
    return f"{job.publication}: {seen.rows_sent:,}{total} rows sent{share}{pace}{left}"


def _so_far(job: Backfill) -> str:
    seen = progress(job)
    total = f" of {seen.rows_total:,}" if seen.rows_total is not None else ""
    waiting = f", and {seen.rows_waiting:,} in the outbox, which a relay sends" if seen.rows_waiting else ""
    return f"{seen.rows_sent:,}{total} rows sent{waiting}"


def _cells(job: Backfill) -> tuple[str, ...]:
    seen = progress(job)
    unknown = "" if seen.is_known or job.is_finished else ", unknown to this release"
    return (
        str(job.pk),
        f"{job.publication} on {job.using!r}",
        f"{job.state}{unknown}",
        f"{seen.rows_sent:,}",
        "?" if seen.rows_total is None else f"{seen.rows_total:,}",
        f"{seen.rows_per_second:,.0f}" if seen.rows_per_second else "",
        span(seen.seconds_left) if seen.seconds_left is not None and not job.is_finished else "",
        job.requested_by,
        seen.runner,
    )


def _dead_letters(job: Backfill) -> str:
    letters = dead_letters_since(job)
    if not letters:
        return ""
    return (
        f" {letters:,} could not be sent and are dead letters now: mend the cause, then manage.py replay_dead_letters."
    )
