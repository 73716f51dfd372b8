"""The docs name tests that exist, and promise in the words of the design."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCES = sorted(set(re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", (ROOT / "docs/promises.rst").read_text("utf-8"))))


@pytest.mark.parametrize(("path", "name"), REFERENCES)
def test_a_promise_names_a_test_that_exists(path: str, name: str) -> None:
    assert re.search(rf"def {name}\b", (ROOT / path).read_text("utf-8")), f"{path} has no {name}"


def test_every_promise_names_tests() -> None:
    sections = re.split(r"\n(?=\d\. )", (ROOT / "docs/promises.rst").read_text("utf-8"))[1:]
    assert len(sections) == 8
    assert all("::test_" in section for section in sections)
