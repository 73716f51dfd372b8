"""`manage.py replay_dead_letters`: apply, or with --publisher send, dead letters again, once their cause is mended."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, models

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.replay import replay, skip
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import DeadLetter
from logpipe_signals.publishing import replay as publisher_replay


class Command(BaseCommand):
    """Safe beside running consumers: each letter is applied while they are kept out of its topic."""

    help = "Apply the consumer's dead letters again, oldest first; what is stale by now is refused and closed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", type=int, help="only these letters")
        parser.add_argument("--topic", help="only letters of this topic")
        parser.add_argument("--group", help="only letters of this consumer group")
        parser.add_argument("--identity", help="only letters about this row, such as person:12")
        parser.add_argument("--reason", help="only letters with this error, such as ValidationError")
        parser.add_argument("--skip", action="store_true", help="close them without applying them")
        parser.add_argument("--publisher", action="store_true", help="a publisher's letters: back into the outbox")
        parser.add_argument("--database", help="with --publisher: the alias that publishes (default: default)")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = (options["database"] or DEFAULT_DB_ALIAS) if options["publisher"] else get_offset_backend().alias()
        letters = DeadLetter.objects.using(alias)
        wanted = {name: options[name] for name in ("topic", "group", "identity", "reason") if options[name]}
        if options["ids"]:
            wanted["pk__in"] = options["ids"]
        if options["publisher"]:
            self._publish(letters.filter(**wanted), skip=options["skip"])
            return
        if options["skip"]:
            self.stdout.write(f"{skip(letters.filter(**wanted))} skipped.")
            return
        try:
            routes = MultiConsumer(*declared_consumers()).routes()
        except DeclarationError as error:
            raise CommandError(str(error)) from error
        report = replay(letters.filter(**wanted), routes)
        self.stdout.write(
            f"{len(report.replayed)} replayed, {len(report.stale)} stale, {len(report.failed)} failed, "
            f"{len(report.waiting)} waiting behind one that failed."
        )
        if report.failed:
            raise CommandError("Some letters failed again: their new errors are in the dead letters.")

    def _publish(self, letters: models.QuerySet[DeadLetter], *, skip: bool) -> None:
        if skip:
            self.stdout.write(f"{publisher_replay.skip(letters)} skipped.")
        else:
            self.stdout.write(
                f"{publisher_replay.replay(letters)} changes are back in the outbox; the relay sends them."
            )
