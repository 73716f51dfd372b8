"""`manage.py adopt_logpipe`: move over from django-logpipe, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.adoption import adopt_positions, give_back_positions
from logpipe_signals.management import imports


class Command(BaseCommand):
    """Stop the group's consumers first; running it twice changes nothing."""

    help = (
        "Move over from django-logpipe: copy its stored Kafka and Kinesis positions, so that consuming goes on where "
        "it stood (--back: the other way); find its imports in the project's code (--check) or change them (--rewrite)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the alias that has django-logpipe's tables")
        parser.add_argument("--group", default="", help="the consumer group (default: LOGPIPE['CONSUMER_GROUP'])")
        parser.add_argument(
            "--path", type=Path, help="the folder of the project's code (default: BASE_DIR, else this one)"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--back", action="store_true", help="copy the group's positions to django-logpipe's tables")
        what.add_argument(
            "--check", action="store_true", help="list django-logpipe's imports; exit with 1 if there are any"
        )
        what.add_argument("--rewrite", action="store_true", help="change these imports to this package's")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] or options["rewrite"]:
            self._imports(options["path"] or Path(getattr(django_settings, "BASE_DIR", ".")), options["rewrite"])
        else:
            self._positions(options["group"] or consumer_group(), options["database"], back=options["back"])

    def _positions(self, group: str, theirs: str, *, back: bool) -> None:
        ours = get_offset_backend().alias()
        if back:
            copied, word = give_back_positions(group, source=ours, target=theirs), "given back"
        else:
            copied, word = adopt_positions(group, source=theirs, target=ours), "adopted"
        for each in copied:
            told = word if each.is_new else f"kept: {each.why}"
            self.stdout.write(f"{each.log} {each.topic}/{each.partition} at {each.position}: {told}")
        self.stdout.write(f"{sum(each.is_new for each in copied)} of {len(copied)} positions {word} by {group!r}.")

    def _imports(self, folder: Path, rewrite: bool) -> None:
        found = list(imports.find(folder))
        for each in found:
            self.stdout.write(f"{each.path.relative_to(folder)}:{each.line}: {each.text.strip()}")
            if rewrite and each.becomes is not None:
                imports.rewrite(each)
            self.stdout.write(f"    {each.becomes.strip() if each.becomes else 'by hand: ' + each.why}")
        left = [each for each in found if each.becomes is None or not rewrite]
        self.stdout.write(
            f"{len(found)} imports of django-logpipe in {folder}, {len(found) - len(left)} of them changed."
        )
        if left:
            raise CommandError(f"{len(left)} are left: --rewrite changes what it can.")
