"""manage.py demo: people and cities leave one database and arrive in another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from testproject.demo.stage import NotFresh, Options, stage
from testproject.services import ServiceUnavailable


class Command(BaseCommand):
    """Sets the stage, and plays in a process whose settings are those of the stage."""

    help = "Show what this is: people and thousands of real cities are published, consumed and compared."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--backend", choices=["database", "kafka", "kinesis"], default="database", help="Which log."
        )
        parser.add_argument("--cities", type=int, default=5000, help="How many cities, the largest first (5000).")
        parser.add_argument("--data-dir", type=Path, help="Make the databases in this folder, and keep them.")
        parser.add_argument("--keep", action="store_true", help="Keep the databases, and say where they are.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play; the exit code says whether both sides were equal."""
        chosen = Options(**{name: options[name] for name in Options.__dataclass_fields__})
        try:
            with stage(chosen) as environment:
                code = self._play(chosen, environment)
        except (NotFresh, ServiceUnavailable) as error:
            raise CommandError(str(error)) from error
        if code:
            sys.exit(code)

    def _play(self, chosen: Options, environment: dict[str, str]) -> int:
        command = [sys.executable, "-m", "testproject.demo", "--cities", str(chosen.cities)]
        if chosen.keep or chosen.data_dir:
            command.append("--kept")
        with subprocess.Popen(command, env=environment) as play:
            try:
                return play.wait()
            except KeyboardInterrupt:
                play.wait()  # It got the same signal.
                return 130
