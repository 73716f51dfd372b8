"""manage.py publication_schema: the shape of every message under version control, and in other tools' words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.schemas import asyncapi, documents, lock
from logpipe_signals.schemas.compatibility import Compatibility
from logpipe_signals.schemas.contract import Contract, contract_of_code
from logpipe_signals.schemas.judging import Finding, judge, judge_against


class Command(BaseCommand):
    """Parses and calls."""

    help = (
        "Write the lock file of what this project sends and accepts, and say what changed. With --check: fail where "
        "the code and the lock file, or a publisher's lock file, do not fit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 if something drifted.")
        parser.add_argument(
            "--against", action="append", default=[], metavar="PATH", help="A publisher's lock file, for --check."
        )
        parser.add_argument("--lock", default="", metavar="PATH", help="The lock file, instead of SCHEMA_LOCK's.")
        parser.add_argument(
            "--format",
            choices=["lock", "jsonschema", "asyncapi"],
            default="lock",
            help="jsonschema, asyncapi: write these to --output, or show them.",
        )
        parser.add_argument("--output", default="", metavar="PATH", help="A file, or for jsonschema a folder.")
        parser.add_argument("--title", default="logpipe_signals", help="The application's name, for asyncapi.")
        parser.add_argument("--api-version", default="1.0.0", help="Its contract's version, for asyncapi.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one of the three."""
        if options["against"] and not options["check"]:
            raise CommandError("--against says what to check: add --check.")
        try:
            code = contract_of_code()
            self._tell_untold(code)
            if options["format"] != "lock":
                self._export(code, **options)
            elif options["check"]:
                self._check(code, _own_path(options["lock"]), [Path(path) for path in options["against"]])
            else:
                self._write(code, _own_path(options["lock"]))
        except DeclarationError as error:
            raise CommandError(str(error)) from error

    # --- the lock file ----------------------------------------------------------------------------------------------

    def _write(self, code: Contract, path: Path) -> None:
        before = lock.read(path) if path.exists() else Contract(entries={})
        for finding in judge(before, code, _wanted()):
            self.stdout.write("\n".join([finding.text, *(f"    {line}" for line in finding.details)]))
        if path.exists() and path.read_text(encoding="utf-8") == lock.text_of(code):
            self.stdout.write(f"{path} is up to date.")
            return
        lock.write(path, code)
        self.stdout.write(f"{path} is written: {len(code.entries)} messages. Commit it.")

    def _check(self, code: Contract, path: Path, against: list[Path]) -> None:
        """Hold the code to its own lock file and the pinned publishers; or to the publishers that are named."""
        findings = [] if against else judge(lock.read(path), code, _wanted())
        for publisher in against or lock.publisher_paths():
            findings += judge_against(lock.read(publisher), code)
        self._tell(findings)
        failures = sum(finding.fails for finding in findings)
        if failures:
            raise CommandError(f"{failures} of {len(code.entries)} messages do not fit.", returncode=1)
        self.stdout.write(f"{len(code.entries)} messages fit.")

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            (self.stderr if finding.fails else self.stdout).write(str(finding))

    def _tell_untold(self, code: Contract) -> None:
        for label, entry in code:
            for name in entry.untold:
                self.stderr.write(
                    f"{label}: the type of field {name!r} cannot be told, so it may be anything. Say it with a return "
                    "annotation, or with @extend_schema_field of drf-spectacular."
                )

    # --- other formats ----------------------------------------------------------------------------------------------

    def _export(self, code: Contract, **options: Any) -> None:
        output = options["output"]
        if options["format"] == "asyncapi":
            found = asyncapi.document(code, title=options["title"], version=options["api_version"])
            self._put(output, found)
        elif output:
            for label, schema in documents.json_schemas(code):
                path = Path(output) / documents.file_name(label)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._put(str(path), schema)
        else:
            self._put("", {documents.file_name(label): schema for label, schema in documents.json_schemas(code)})

    def _put(self, path: str, found: Any) -> None:
        text = json.dumps(found, indent=2, ensure_ascii=False)
        if not path:
            self.stdout.write(text)
            return
        Path(path).write_text(text + "\n", encoding="utf-8")
        self.stdout.write(f"{path} is written.")


def _own_path(given: str) -> Path:
    return Path(given) if given else lock.lock_path()


def _wanted() -> Compatibility:
    try:
        return Compatibility(settings.SCHEMA_COMPATIBILITY)
    except ValueError as error:
        raise DeclarationError(
            f"LOGPIPE['SCHEMA_COMPATIBILITY'] is {settings.SCHEMA_COMPATIBILITY!r}. "
            f"Choose one of: {', '.join(Compatibility)}."
        ) from error
