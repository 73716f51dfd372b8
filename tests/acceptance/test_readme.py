"""A stranger follows the README: its code compiles, its tutorial works, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance import readme

REPOSITORY = readme.README.parent
PYTHON_BLOCKS = [code for language, code in readme.blocks() if language == "python"]


@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=lambda code: code.splitlines()[0])
def test_every_python_block_compiles(code: str) -> None:
    compile(code, "README.rst", "exec")


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"<([\w./-]+)>`_", readme.README.read_text())
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for language, code in readme.blocks(readme.section("Five minutes")):
        if language == "console":
            reader.run(code)
        elif code.startswith("# "):
            reader.write(code)

    assert "Schmoe" in reader.seen
    assert reader.commands == 10


class Reader:
    """Does what the README says, in an empty folder and an empty home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str] = []
        self.commands = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGPIPE", "DJANGO"))}
        home = folder / "home"
        home.mkdir()
        self.environment = {**kept, "HOME": str(home), "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}

    def write(self, code: str) -> None:
        """Put a block into the file that its first line names; settings are added to those that are there."""
        path = self.folder / code.splitlines()[0].removeprefix("# ")
        with path.open("a" if path.name == "settings.py" else "w") as file:
            file.write(code)

    def run(self, code: str) -> None:
        """Run the lines behind a $; what follows one is what it has to print."""
        for step in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            self._run(shlex.split(command, comments=True), expected.strip())

    def _run(self, command: list[str], expected: str) -> None:
        if command[0] == "cd":
            self.folder /= command[1]
            return
        if command[1:4] == ["-m", "pip", "install"]:
            return
        programs = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"]}
        done = subprocess.run(
            [*programs[command[0]], *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.commands += 1
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        self.seen += done.stdout.split()
        assert expected in done.stdout
