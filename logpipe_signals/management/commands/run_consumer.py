"""`manage.py run_consumer`: apply the records of the declared topics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.consuming.worker import WorkerOptions, run_worker
from logpipe_signals.exceptions import DeclarationError


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
        parser.add_argument(
            "--from", dest="start", choices=["beginning", "end"], help="begin there, not at the position"
        )
        parser.add_argument("--liveness-file", type=Path, help="a file touched at every turn, for a liveness probe")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Stop()
        wanted = {name: options[name] for name in WorkerOptions.__dataclass_fields__}
        try:
            consumers = declared_consumers(options["topic"])
        except DeclarationError as error:
            raise CommandError(str(error)) from error
        topics = ", ".join(sorted({consumer.topic_name for consumer in consumers}))
        self.stdout.write(f"Consuming {topics}. Stop with Ctrl-C.")
        with stop.on_signals():
            tally = run_worker(consumers, WorkerOptions(**wanted), stop=stop)
        self.stdout.write(f"{tally.handled} records: {tally.applied} applied, {tally.failed} failed.")
