"""`manage.py prune_logpipe`: remove what is done with, after the days that RETENTION_DAYS says."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from logpipe_signals import housekeeping, monitoring
from logpipe_signals.exceptions import LogPipeError


class Command(BaseCommand):
    """Safe beside everything that runs: small transactions, and no lock that is waited for."""

    help = "Remove closed dead letters, old guard rows, finished jobs, trail and log records after their days."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--database",
            action="append",
            default=[],
            choices=list(connections),
            help="Only this alias; may be repeated.",
        )
        parser.add_argument(
            "--only",
            action="append",
            default=[],
            choices=list(housekeeping.KINDS),
            help="Only this kind; may be repeated.",
        )
        parser.add_argument(
            "--days",
            type=float,
            help="Instead of RETENTION_DAYS; the guard's kinds (guard, deletes) only where --only names them.",
        )
        parser.add_argument(
            "--open", action="store_true", dest="open_too", help="Open dead letters, too: what they hold is lost."
        )
        parser.add_argument(
            "--force", action="store_true", help="Log records, too, that a group did not read; it will report the gap."
        )
        parser.add_argument("--dry-run", action="store_true", help="Count, and remove nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune one database after the other."""
        if options["days"] is not None and options["days"] <= 0:
            raise CommandError("--days needs a number above 0.")
        asked = {name: options[name] for name in ("days", "open_too", "force", "dry_run")}
        for using in options["database"] or monitoring.databases():
            try:
                found = housekeeping.prune(using, kinds=options["only"], **asked)
            except LogPipeError as error:
                raise CommandError(str(error)) from error
            for pruned in found:
                self._tell(pruned, dry_run=options["dry_run"])

    def _tell(self, pruned: housekeeping.Pruned, *, dry_run: bool) -> None:
        kept = "kept for ever" if pruned.days is None else f"older than {pruned.days:g} days"
        verb = "would go" if dry_run else "removed"
        self.stdout.write(f"{pruned.using}: {pruned.kind} {kept}: {pruned.rows} {verb}")
        for held in pruned.held:
            self.stdout.write(
                f"  {held.records} records of {held.topic}/{held.partition} stay: group {held.group!r} stands at "
                f"{held.position}. Let it read them, remove its position, or use --force."
            )
