"""A stranger follows the README: its code compiles, its tutorial works, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, sections
from tests.docs.reader import Reader

README = REPOSITORY / "README.rst"
SECTIONS = {section.title: section.blocks for section in sections(README)}
PYTHON_BLOCKS = [block.code for blocks in SECTIONS.values() for block in blocks if block.language == "python"]


@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=lambda code: code.splitlines()[0])
def test_every_python_block_compiles(code: str) -> None:
    compile(code, "README.rst", "exec")


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"<([\w./-]+)>`_", README.read_text())
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    reader = Reader(folder, makes_tables=False)
    for block in SECTIONS["Five minutes"]:
        if block.language == "console" or block.file:
            reader.follow(block)

    assert "Schmoe" in reader.seen.split()
    assert reader.commands == 10
