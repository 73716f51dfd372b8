"""Every code block of the documentation is done as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Section, sections
from tests.docs.reader import Reader

PAGES = sorted(path for path in DOCS.rglob("*.rst") if "_build" not in path.parts)
pytestmark = pytest.mark.docs
SECTIONS = [section for page in PAGES if page.stem != "tutorial" for section in sections(page)]


def test_the_tutorial_ends_with_its_last_screen(tutorial: Reader) -> None:
    assert "Schmoe" in tutorial.seen


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_a_section_says_works(town: Reader, section: Section, request: pytest.FixtureRequest) -> None:
    for block in section.blocks:
        if "kafka" in block.needs:
            town.environment["KAFKA_BOOTSTRAP_SERVERS"] = request.getfixturevalue("kafka_broker")
        town.follow(block)
    town.settle()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_stands_in_blocks_that_are_done(page: Path) -> None:
    literal = re.findall(r"^(?!\s*\.\. ).*::\n\n(?=[ ]{3})", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert not literal, f"{page.name}: say .. code-block:: instead of {literal}"
