"""`manage.py run_consumer`: apply the records of the declared topics."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.management.metrics_port import add_metrics_port, metrics_served


def beginning(text: str | None) -> dict[str, Any]:
    """Return the options that `--from` stands for."""
    if text is None or text in ("beginning", "end"):
        return {"start": text, "not_before": 0.0}
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--from {text}: say beginning, end, or a time such as 2026-01-31T12:00+00:00.") from error
    return {"start": "beginning", "not_before": moment.timestamp()}


class Command(BaseCommand):
    """Run it once more, on this host or another, and the load is shared."""

    help = "Apply the records of every topic that has a consumer. Ends cleanly on SIGTERM and SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--topic", action="append", default=[], help="only this topic; may be given again")
        parser.add_argument("--group", default="", help="the consumer group (default: LOGPIPE['CONSUMER_GROUP'])")
        parser.add_argument("--batch-size", type=int, help="records applied at once, at most")
        parser.add_argument(
            "--until-caught-up", action="store_true", help="end when what stands on the log now is done"
        )
        parser.add_argument("--max-records", type=int, default=0, help="end after so many records")
        parser.add_argument("--from", dest="begin", help="beginning, end, or a time such as 2026-01-31T12:00+00:00")
        parser.add_argument("--dry-run", action="store_true", help="look up and validate, and write nothing")
        add_metrics_port(parser)
        parser.add_argument("--liveness-file", type=Path, help="a file touched at every turn, for a liveness probe")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Stop()
        options |= beginning(options["begin"])
        wanted = {name: options[name] for name in WorkerOptions.__dataclass_fields__}
        try:
            consumers = declared_consumers(options["topic"])
        except DeclarationError as error:
            raise CommandError(str(error)) from error
        topics = ", ".join(sorted({consumer.topic_name for consumer in consumers}))
        self.stdout.write(f"Consuming {topics}. Stop with Ctrl-C.")
        with metrics_served(options["metrics_port"]), stop.on_signals():
            tally = run_worker(consumers, WorkerOptions(**wanted), stop=stop)
        would_be = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{tally.handled} records: {tally.applied} {would_be}applied, {tally.failed} failed.")
