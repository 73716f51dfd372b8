"""
What people ask of backfills: start, pause, resume, cancel, and how far each is.

All of it is rows of the database, so a command, the admin and another host do the same. Who runs a job is another
matter (see `runner`): a `manage.py run_relay`, or `manage.py republish_all` in the foreground.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from django.db import OperationalError, connections, router, transaction

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackfillError
from logpipe_signals.models import Backfill, BackfillKey, Lease
from logpipe_signals.models.backfills import DEFAULT_CHUNK_ROWS, BackfillOf, BackfillState
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing.backfills.lookups import check_lookups
from logpipe_signals.publishing.backfills.targets import Target, target

MOST_CHUNK_ROWS = 10_000
ROWS_A_STATEMENT = 500


class Listed(NamedTuple):
    """A key that was listed: its text as the database has it, and of a deleted row what its message needs."""

    key: str
    values: dict[str, Any] | None = None


def start(
    publication: str,
    *,
    using: str | None = None,
    where: Mapping[str, Any] | None = None,
    rows_of: BackfillOf = BackfillOf.ROWS,
    listed: Iterable[Listed] = (),
    versions: Sequence[int] = (),
    rate: float | None = None,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    requested_by: str = "",
    owner: str = "",
) -> Backfill:
    """
    Make a job, for the next runner that looks, or for this owner alone.

    Args:
        publication: Its name.
        using: The alias of the rows; by default the one that the model is written to.
        where: ORM lookups, all of which a row has to meet (see `lookups.parse_lookups`).
        rows_of: What `listed` holds, if anything.
        versions: Send only these versions; empty: all.
        rate: The most rows a second.
        requested_by: Who asks, for whoever looks at the list of jobs.
        owner: A runner that takes the job's lease at once.

    Raises:
        DeclarationError: This release has no such publication.
        BackfillError: An option does not fit the publication.
    """
    found = target(publication, using)
    where = dict(where or {})
    check_lookups(found.rows(), where)
    _check_versions(found, versions)
    _check_pace(rate, chunk_rows)
    with transaction.atomic(using=found.using):
        job = Backfill.objects.using(found.using).create(
            publication=publication,
            where=where,
            rows_of=rows_of,
            versions=sorted(set(versions)),
            rate=rate,
            chunk_rows=chunk_rows,
            requested_by=requested_by[:200],
        )
        _write_listed(job, listed)
        if owner:
            leases = Lease.objects.using(found.using)
            leases.ensure(LeaseKind.BACKFILL, [str(job.pk)])
            leases.take(LeaseKind.BACKFILL, [str(job.pk)], owner=owner, lease_seconds=settings.LEASE_SECONDS)
    return job


def pause(job: Backfill) -> None:
    """
    Let a job stop after the chunk in hand, until it is resumed.

    Raises:
        BackfillError: It is not waiting and not running.
    """
    _change(job, _row(job).pause(), "paused")


def resume(job: Backfill) -> None:
    """
    Let a runner take a paused or failed job up where it stopped.

    Raises:
        BackfillError: It is neither.
    """
    _change(job, _row(job).resume(), "resumed")


def cancel(job: Backfill) -> None:
    """
    End a job for good. What it has in the outbox by now is still sent.

    Raises:
        BackfillError: It has ended.
    """
    _change(job, _row(job).cancel(), "cancelled")
    BackfillKey.objects.using(job.using).filter(backfill_id=job.pk).delete()


def find(number: int, using: str | None = None) -> Backfill:
    """
    Return a job by its number.

    Raises:
        BackfillError: There is none, or several databases have one.
    """
    found = [
        job
        for alias in ([using] if using else backfill_aliases())
        if (job := Backfill.objects.using(alias).filter(pk=number).first()) is not None
    ]
    if not found:
        raise BackfillError(f"There is no backfill {number}. manage.py republish_all --list shows those there are.")
    if len(found) > 1:
        aliases = ", ".join(job.using for job in found)
        raise BackfillError(f"Several databases have a backfill {number}: {aliases}. Say which: --database ALIAS.")
    return found[0]


def backfill_aliases() -> list[str]:
    """Return the databases that hold jobs: where their table is migrated, and that can be reached."""
    return [alias for alias in connections if router.allow_migrate_model(alias, Backfill) and _has_table(alias)]


def runner_of(job: Backfill) -> str:
    """Return who holds a job's lease now, as host:process:random; empty: nobody."""
    leases = Lease.objects.using(job.using).of_kind(LeaseKind.BACKFILL).filter(name=str(job.pk)).held()
    return leases.values_list("owner", flat=True).first() or ""


def runners(using: str) -> list[str]:
    """Return the `run_relay` processes that look for jobs on a database now. None: only the command runs a job."""
    return list(Lease.objects.using(using).of_kind(LeaseKind.RUNNER).held().values_list("owner", flat=True))


def _has_table(alias: str) -> bool:
    try:
        return Backfill._meta.db_table in connections[alias].introspection.table_names()
    except OperationalError:
        return False


def _check_versions(found: Target, versions: Sequence[int]) -> None:
    there = sorted({cls.VERSION for cls in found.publication.serializer_classes})
    unknown = sorted(set(versions) - set(there))
    if unknown:
        raise BackfillError(
            f"{found.publication.name} has no version {unknown[0]}. There are: {', '.join(map(str, there))}."
        )


def _check_pace(rate: float | None, chunk_rows: int) -> None:
    if rate is not None and not rate > 0:
        raise BackfillError(f"A rate of {rate} rows a second would never end. Give more than 0, or leave it out.")
    if not 1 <= chunk_rows <= MOST_CHUNK_ROWS:
        raise BackfillError(f"A chunk of {chunk_rows} rows will not do. Give 1 to {MOST_CHUNK_ROWS:,}.")


def _write_listed(job: Backfill, listed: Iterable[Listed]) -> None:
    keys = (
        BackfillKey(backfill_id=job.pk, number=number, key=one.key, values=one.values)
        for number, one in enumerate(listed, start=1)
    )
    while some := list(islice(keys, ROWS_A_STATEMENT)):
        BackfillKey.objects.using(job.using).bulk_create(some)


def _row(job: Backfill) -> Any:
    return Backfill.objects.using(job.using).filter(pk=job.pk)


def _change(job: Backfill, changed: int, what: str) -> None:
    job.refresh_from_db(using=job.using)
    if not changed:
        raise BackfillError(f"Backfill {job.pk} is {BackfillState(job.state).label}: it cannot be {what}.")
