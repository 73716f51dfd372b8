"""The page of checks and the code name the same ids, and each id has a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ID = r"[EWI]\d{3}"
EXAMPLES = {"E199"}
"""Ids that a test invents."""


def ids_of(folder: str, pattern: str) -> set[str]:
    """Return the ids that the Python files of a folder name in this way."""
    files = (ROOT / folder).rglob("*.py")
    return {found for path in files for found in re.findall(pattern, path.read_text("utf-8"))}


def ids_in_code() -> set[str]:
    return ids_of("logpipe_signals", rf'"(?:logpipe_signals\.)?({ID})"')


def test_the_page_of_checks_lists_every_id_once() -> None:
    listed = re.findall(rf"^({ID})$", (ROOT / "docs/checks.rst").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(ids_in_code())


def test_an_id_means_one_thing() -> None:
    used = re.findall(rf'"logpipe_signals\.({ID})"', "".join(p.read_text() for p in _checks()))
    assert sorted(set(used)) == sorted(used)


def _checks() -> list[Path]:
    return sorted((ROOT / "logpipe_signals/checks").glob("*.py"))


def test_every_id_has_a_test() -> None:
    tested = ids_of("tests", rf"\b({ID})\b") - EXAMPLES
    assert ids_in_code() - tested == set()
