"""One run of housekeeping over a database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from logpipe_signals.conf import settings
from logpipe_signals.housekeeping import batches, guard, log
from logpipe_signals.housekeeping.kinds import GUARDS, KINDS, open_letters, retention_days
from logpipe_signals.monitoring.places import consuming_database, now_of


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """
    What became of one kind on a database.

    days: After which its rows go; None: they stay for ever.
    rows: How many went, or would.
    held: Records of the embedded log that are old enough, and that a group did not read yet.
    """

    kind: str
    using: str
    days: float | None
    rows: int = 0
    held: tuple[log.Held, ...] = ()


def prune(
    using: str,
    *,
    kinds: Collection[str] = (),
    days: float | None = None,
    open_too: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> list[Pruned]:
    """
    Remove what is old enough on a database, and return what that was, kind by kind.

    Args:
        kinds: Only these; none given: all.
        days: Instead of what RETENTION_DAYS says. The guard's kinds take it only where `kinds` names them.
        open_too: Dead letters that nobody dealt with, as well: what they hold is lost.
        force: Records of the embedded log that a group did not read, as well.
        dry_run: Count, and remove nothing.

    Raises:
        DeclarationError: RETENTION_DAYS is wrong.
    """
    now = now_of(using)
    wanted = [kind for kind in KINDS if not kinds or kind in kinds]
    return [
        _prune(
            kind, using, now, _days_of(kind, days, named=kind in kinds), open_too=open_too, force=force, dry_run=dry_run
        )
        for kind in wanted
        if kind != "log" or using == settings.DATABASE_LOG_ALIAS
    ]


def _days_of(kind: str, days: float | None, *, named: bool) -> float | None:
    kept = retention_days(kind)
    return days if days is not None and (named or kind not in GUARDS) else kept


def _prune(
    kind: str, using: str, now: datetime, days: float | None, *, open_too: bool, force: bool, dry_run: bool
) -> Pruned:
    if days is None:
        return Pruned(kind=kind, using=using, days=None)
    before = now - timedelta(days=days)
    held: list[log.Held] = []
    if kind in GUARDS:
        work = guard.count if dry_run else guard.delete
        rows = work(before, deleted=kind == "deletes", using=using)
    elif kind == "log":
        bounds, held = log.removable(before, using=using, positions=consuming_database(), force=force)
        rows = log.count(bounds, using=using) if dry_run else log.delete(bounds, using=using)
    else:
        rows = _plain(kind, before, using, open_too=open_too and kind == "dead_letters", dry_run=dry_run)
    return Pruned(kind=kind, using=using, days=days, rows=rows, held=tuple(held))


def _plain(kind: str, before: datetime, using: str, *, open_too: bool, dry_run: bool) -> int:
    find = KINDS[kind].rows
    assert find is not None  # noqa: S101  (the guard and the log, which have none, were dealt with)
    found = [*find(before), *(open_letters(before) if open_too else ())]
    if dry_run:
        return sum(rows.using(using).count() for rows in found)
    return sum(batches.delete(rows, using) for rows in found)
