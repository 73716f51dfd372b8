"""manage.py republish_all: send every row of some publications again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from logpipe_signals.exceptions import BackendUnavailable, DeclarationError
from logpipe_signals.publishing import backfill


class Command(BaseCommand):
    """Parses and calls."""

    help = (
        "Send every row of the named publications again, as it is when its turn comes. Live changes overtake. "
        "Without a label: everything that is published."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("label", nargs="*", help="A model (app.Model), a publication's name, or a topic.")
        parser.add_argument(
            "--database", action="append", default=[], help="Take the rows of this alias; may be given several times."
        )
        parser.add_argument("--no-drain", action="store_true", help="Fill the outbox only; another relay sends it.")
        parser.add_argument("--dry-run", action="store_true", help="Only tell how many rows there are.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Enqueue, then drain."""
        try:
            targets = backfill.targets(options["label"], options["database"])
        except DeclarationError as error:
            raise CommandError(str(error)) from error
        if options["dry_run"]:
            for target in targets:
                self._tell(target, target.rows().count(), "would be sent")
            return
        for target in targets:
            self._tell(target, backfill.enqueue(target), "in the outbox")
        if not options["no_drain"]:
            self._drain(targets, hide_progress=options["verbosity"] == 0)

    def _tell(self, target: backfill.Target, rows: int, what: str) -> None:
        self.stdout.write(f"{target.publication.name} on {target.using!r}: {rows:,} rows {what}.")

    def _drain(self, targets: Sequence[backfill.Target], *, hide_progress: bool) -> None:
        pending = sum(target.pending() for target in targets)
        # disable=None: no bar where nobody watches.
        with tqdm(total=pending, unit=" rows", desc="Sending", disable=True if hide_progress else None) as bar:
            try:
                report = backfill.drain(targets, progress=bar.update, stop=threading.Event())
            except BackendUnavailable as error:
                raise CommandError(
                    f"The log is away: {error} What was not sent stays in the outbox; a relay sends it when the log "
                    "is back (manage.py run_relay)."
                ) from error
            except KeyboardInterrupt:
                raise CommandError("Stopped. What was not sent stays in the outbox, and a relay sends it.") from None
        self.stdout.write(
            f"{report.sent:,} messages sent, {report.put_off:,} rows put off, {report.set_aside:,} set aside."
        )
