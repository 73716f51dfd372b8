"""Does what a page says, in a project of its own and an empty home."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import REPOSITORY, Block

APPS = ("people", "phonebook")
_ADDED_TO = ("settings.py", "urls.py")
_PRELUDE = f"""
import django
django.setup()
from django.apps import apps
globals().update((model.__name__, model) for model in apps.get_models() if model._meta.app_label in {APPS})
"""


class Reader:
    """
    Follows blocks in a folder; `seen` is all that was printed, `commands` how many of the page's were run.

    makes_tables: Makes the tables of models that changed, where the page does not say it.
    python:       Runs the project; by default this one, with the package as it stands in the repository.
    """

    def __init__(self, folder: Path, *, makes_tables: bool, python: Path | None = None) -> None:
        self.folder = folder
        self.makes_tables = makes_tables
        self.python = str(python or sys.executable)
        self.seen = ""
        self.commands = 0
        self._models_changed = self._files_changed = False
        own = ("LOGPIPE", "DJANGO", "DATABASE_URL", "TESTPROJECT", "KAFKA")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        self.environment = {**kept, "HOME": str(home), "NO_COLOR": "1"}
        self.environment["PYTHONPATH"] = "" if python else str(REPOSITORY)

    def follow(self, block: Block) -> None:
        """Do a block; where it is only shown, see that it is well formed."""
        if block.language == "python" and (block.shown or not block.file):
            compile(block.code, block.where, "exec")
        if block.shown:
            return
        if block.language == "python" and block.file:
            self._write(block)
        elif block.language == "python":
            self.settle()
            self._python(block)
        elif block.language == "console":
            self._console(block)
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            import yaml

            list(yaml.safe_load_all(block.code))
        else:
            assert block.language == "text", f"{block.where}: nothing here knows how to do {block.language}"

    def settle(self) -> None:
        """Make the tables of models that changed, and have the project checked."""
        if self._models_changed:
            self._tables_anew()
        if self._files_changed:
            self._run([self.python, "manage.py", "check"])
        self._models_changed = self._files_changed = False

    def _tables_anew(self) -> None:
        (self.folder / "db.sqlite3").unlink(missing_ok=True)
        for app in APPS:
            shutil.rmtree(self.folder / app / "migrations", ignore_errors=True)
        self._run([self.python, "manage.py", "makemigrations", *APPS])
        self._run([self.python, "manage.py", "migrate", "--verbosity", "0"])

    def _write(self, block: Block) -> None:
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        code = f"{block.before}\n{block.code}" if block.before else block.code
        compile(code, block.where, "exec")
        with path.open("a" if path.name in _ADDED_TO else "w", encoding="utf-8") as file:
            file.write(code)
        self._files_changed = True
        self._models_changed |= path.name == "models.py" and self.makes_tables

    def _python(self, block: Block) -> None:
        self._run([self.python, "-c", f"{_PRELUDE}\n{block.before}\n{block.code}"], where=block.where)

    def _console(self, block: Block) -> None:
        if block.before:
            self.settle()
            self._run([self.python, "-c", f"{_PRELUDE}\n{block.before}"], where=block.where)
        steps = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
        assert not steps[0].strip(), f"{block.where}: a command stands behind a $, or nobody would run it"
        for step in steps[1:]:
            command, _, expected = step.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = command[:-1] + more.strip()
            self._command(shlex.split(command, comments=True), expected.strip(), block)

    def _command(self, command: list[str], expected: str, block: Block) -> None:
        if command[0] == "cd":
            self.folder /= command[1]
        elif command[0] == "mkdir":
            (self.folder / command[1]).mkdir()
        elif command[1:4] != ["-m", "pip", "install"]:
            if (self.folder / "db.sqlite3").exists():
                self.settle()
            self.commands += 1
            programs = {"python": [self.python], "django-admin": [self.python, "-m", "django"]}
            self._run(
                [*programs.get(command[0], command[:1]), *command[1:]], expected, where=block.where, exits=block.exits
            )

    def _run(self, command: list[str], expected: str = "", *, where: str = "", exits: int = 0) -> None:
        settings = {} if "startproject" in command else {"DJANGO_SETTINGS_MODULE": "town.settings"}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == exits, f"{where}: {shlex.join(command)}\n{printed}"
        self.seen += printed
        assert _looks_like(expected, printed), (
            f"{where}: {shlex.join(command)}\nexpected:\n{expected}\nprinted:\n{printed}"
        )


def _looks_like(expected: str, printed: str) -> bool:
    """Whether the expected lines stand in what was printed, whatever the width of blanks; `...` is anything."""
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in expected.split("...")]
    return re.search(r"[\s\S]*?".join(rf"\s*{part}" for part in parts), printed) is not None
