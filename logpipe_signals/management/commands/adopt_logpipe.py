"""`manage.py adopt_logpipe`: take over the positions that django-logpipe stored."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.adoption import adopt_positions


class Command(BaseCommand):
    """Stop django-logpipe's consumers first; running it twice changes nothing."""

    help = "Copy django-logpipe's stored Kafka and Kinesis positions, so that consuming goes on where it stood."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the alias that has django-logpipe's tables")
        parser.add_argument("--group", default="", help="the consumer group (default: LOGPIPE['CONSUMER_GROUP'])")

    def handle(self, *args: Any, **options: Any) -> None:
        group = options["group"] or consumer_group()
        target = get_offset_backend().alias()
        adopted = adopt_positions(group, source=options["database"], target=target)
        for each in adopted:
            told = "adopted" if each.is_new else "kept: the group stands somewhere already"
            self.stdout.write(f"{each.log} {each.topic}/{each.partition} at {each.position}: {told}")
        self.stdout.write(f"{sum(each.is_new for each in adopted)} of {len(adopted)} positions adopted by {group!r}.")
