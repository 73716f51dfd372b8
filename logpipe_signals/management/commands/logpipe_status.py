"""`manage.py logpipe_status`: what waits, who works, how far behind, what was set aside."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from logpipe_signals import monitoring
from logpipe_signals.status import thresholds
from logpipe_signals.status.figures import figures
from logpipe_signals.status.screen import watch
from logpipe_signals.status.table import table

WATCH_SECONDS = 2.0


class Command(BaseCommand):
    """Reads and prints; writes nothing."""

    help = "Show the outbox, relays, consumers, their lag, dead letters and backfills of every database."
    requires_system_checks = []  # It is what is called when something is wrong.

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        known = "; ".join(f"{name}: {meaning}" for name, (_, meaning) in thresholds.MEASURES.items())
        parser.add_argument(
            "--database", action="append", default=[], choices=list(connections), help="Look at this alias only."
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print the numbers as JSON.")
        parser.add_argument(
            "--watch",
            nargs="?",
            type=float,
            const=WATCH_SECONDS,
            metavar="SECONDS",
            help="Draw it again every so many seconds (2); q or Ctrl-C ends it.",
        )
        parser.add_argument(
            "--timeout", type=float, default=5.0, metavar="SECONDS", help="How long the log is waited for (5)."
        )
        parser.add_argument(
            "--fail-on",
            default="",
            metavar="THRESHOLDS",
            help=f"End with exit code 1 when one is broken, such as 'oldest>300,lag>10000,dead>0,relays<1'. {known}.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print once, or again and again."""
        try:
            bounds = thresholds.parse(options["fail_on"])
        except ValueError as error:
            raise CommandError(f"--fail-on: {error}") from None
        if options["watch"] is not None:
            watch(lambda: self._page(options), self.stdout, seconds=max(0.1, options["watch"]))
            return
        overview = self._look(options)
        self.stdout.write(
            json.dumps(figures(overview), indent=2) if options["as_json"] else table(overview, self._paint), ending=""
        )
        if options["as_json"]:
            self.stdout.write("")
        broken = [text for bound in bounds if (text := bound.broken_by(overview))]
        if broken:
            self.stderr.write("\n".join(broken))
            sys.exit(1)

    def _page(self, options: dict[str, Any]) -> str:
        overview = self._look(options)
        return json.dumps(figures(overview)) if options["as_json"] else table(overview, self._paint)

    def _look(self, options: dict[str, Any]) -> monitoring.Overview:
        return monitoring.overview(options["database"] or None, timeout_seconds=options["timeout"])

    def _paint(self, text: str, role: str) -> str:
        return str(getattr(self.style, role.upper())(text))
