"""manage.py run_relay: send what the outbox holds, and run backfills; for ever, or until the outbox is empty."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from logpipe_signals.management.metrics_port import add_metrics_port, metrics_served
from logpipe_signals.publishing.backfills.beside import beside
from logpipe_signals.publishing.relay import RelayReport
from logpipe_signals.publishing.worker import RelayWorker


class Command(BaseCommand):
    """Parses and calls."""

    help = (
        "Send the changes that the outbox holds to the log, and run the backfills that wait. Start as many as you "
        "like; they share the lanes and the backfills."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--database", action="append", help="Relay this alias's outbox; may be given several times (all of them)."
        )
        parser.add_argument("--drain", action="store_true", help="End when nothing is pending any more.")
        add_metrics_port(parser)
        parser.add_argument("--liveness-file", type=Path, help="a file touched at every turn, for a liveness probe")
        parser.add_argument("--no-backfills", action="store_true", help="Leave backfills to other relays.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal says stop."""
        worker = RelayWorker(options["database"], beat=_beat(options["liveness_file"]))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if options["verbosity"]:
            aliases = ", ".join(relay.using for relay in worker.relays) or "no database"
            self.stdout.write(f"Relaying {aliases}. Stop with Ctrl-C: the batch in hand is finished first.")
        with metrics_served(options["metrics_port"]):
            report = worker.drain() if options["drain"] else _run(worker, backfills=not options["no_backfills"])
        self.stdout.write(
            f"{report.sent} messages sent, {report.retired} changes retired, "
            f"{report.put_off} put off, {report.set_aside} set aside."
        )


def _beat(file: Path | None) -> Callable[[], None]:
    return file.touch if file is not None else lambda: None


def _run(worker: RelayWorker, *, backfills: bool) -> RelayReport:
    with beside([relay.using for relay in worker.relays] if backfills else []):
        return worker.run()
