"""The project that the tutorial makes, made once: what every other page begins with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, sections
from tests.docs.reader import Reader


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Return a reader who has followed the tutorial from an empty folder to its end."""
    folder = tmp_path_factory.mktemp("tutorial") / "here"
    folder.mkdir()
    reader = Reader(folder, makes_tables=False)
    for section in sections(DOCS / "tutorial.rst"):
        for block in section.blocks:
            reader.follow(block)
    return reader


@pytest.fixture
def town(tutorial: Reader, tmp_path: Path) -> Reader:
    """Return a reader in a copy of the tutorial's project."""
    return Reader(Path(shutil.copytree(tutorial.folder, tmp_path / "town")), makes_tables=True)
