"""Everything at once, with what could not be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.monitoring import behind, depth, jobs, letters, running
from logpipe_signals.monitoring.behind import LagReport
from logpipe_signals.monitoring.depth import OutboxDepth
from logpipe_signals.monitoring.jobs import AuditProgress, BackfillProgress
from logpipe_signals.monitoring.letters import DeadLetterCount
from logpipe_signals.monitoring.places import consuming_database, databases
from logpipe_signals.monitoring.running import LaneCover, RunningConsumer, RunningRelay

Ask = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """
    What waits, who works, how far behind, what was set aside, what is sent again, on all databases with the tables.

    `problems` says what could not be told and why: a database without tables, a log that did not answer.
    """

    taken_at: datetime
    databases: tuple[str, ...]
    outbox: tuple[OutboxDepth, ...] = ()
    lanes: tuple[LaneCover, ...] = ()
    relays: tuple[RunningRelay, ...] = ()
    consumers: tuple[RunningConsumer, ...] = ()
    lag: LagReport = field(default_factory=LagReport)
    dead_letters: tuple[DeadLetterCount, ...] = ()
    backfills: tuple[BackfillProgress, ...] = ()
    audits: tuple[AuditProgress, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def oldest_seconds(self) -> float | None:
        """Return the age of the oldest live change that waits anywhere."""
        return max((each.oldest_seconds for each in self.outbox if each.oldest_seconds is not None), default=None)

    @property
    def dead_letters_waiting(self) -> int:
        """Return how many dead letters are open or parked."""
        return sum(each.count for each in self.dead_letters if each.is_waiting)


def overview(
    chosen: Sequence[str] | None = None, *, timeout_seconds: float = behind.TIMEOUT_SECONDS, recent: bool = False
) -> Overview:
    """
    Ask everything there is to know.

    Args:
        chosen: The aliases to look at; by default all that have the tables.
        timeout_seconds: How long the log is waited for.
        recent: Take a lag that was asked for some seconds ago.
    """
    aliases = tuple(chosen or databases())
    look = _Look(aliases)
    lag = look.at_lag(timeout_seconds, recent=recent)
    return Overview(
        taken_at=timezone.now(),
        databases=aliases,
        outbox=look.everywhere(depth.outbox),
        lanes=look.everywhere(lambda using: [running.lanes(using)]),
        relays=look.everywhere(running.relays),
        consumers=look.everywhere(running.consumers),
        lag=lag,
        dead_letters=look.everywhere(letters.dead_letters),
        backfills=look.everywhere(jobs.backfills),
        audits=look.everywhere(jobs.audits),
        problems=tuple(look.problems),
    )


class _Look:
    """Asks each database; one that fails is named once, and asked nothing more."""

    def __init__(self, aliases: Sequence[str]) -> None:
        self._aliases = list(aliases)
        self.problems: list[str] = []

    def everywhere(self, ask: Ask) -> tuple[Any, ...]:
        return tuple(each for using in list(self._aliases) for each in self._at(using, ask))

    def at_lag(self, timeout_seconds: float, *, recent: bool) -> LagReport:
        using = consuming_database()
        if using not in self._aliases:
            return LagReport()
        try:
            report = behind.recent_lag(using) if recent else behind.lag(using, timeout_seconds=timeout_seconds)
        except (DatabaseError, InterfaceError, LogPipeError) as error:
            report = LagReport(problem=f"The lag of {using!r} is not known: {error}")
            _renew(using)
        if report.problem:
            self.problems.append(report.problem)
        return report

    def _at(self, using: str, ask: Ask) -> Sequence[Any]:
        try:
            return list(ask(using))
        except (DatabaseError, InterfaceError) as error:
            self._aliases.remove(using)
            self.problems.append(
                f"Database {using!r} does not tell: {type(error).__name__}: {str(error).strip()}. Where the tables are "
                f"missing: manage.py migrate logpipe_signals --database={using}"
            )
            _renew(using)
            return []


def _renew(using: str) -> None:
    if not connections[using].in_atomic_block:
        connections[using].close()
