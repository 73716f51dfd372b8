"""The docs name tests that exist, and promise in the words of the design."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest

from logpipe_signals.conf import LogpipeSettings

ROOT = Path(__file__).parents[2]
REFERENCES = sorted(set(re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", (ROOT / "docs/promises.rst").read_text("utf-8"))))


@pytest.mark.parametrize(("path", "name"), REFERENCES)
def test_a_promise_names_a_test_that_exists(path: str, name: str) -> None:
    assert re.search(rf"def {name}\b", (ROOT / path).read_text("utf-8")), f"{path} has no {name}"


def test_every_promise_names_tests() -> None:
    sections = re.split(r"\n(?=\d\. )", (ROOT / "docs/promises.rst").read_text("utf-8"))[1:]
    assert len(sections) == 8
    assert all("::test_" in section for section in sections)


def test_every_setting_says_what_it_means() -> None:
    (declared,) = ast.parse(inspect.getsource(LogpipeSettings)).body
    assert isinstance(declared, ast.ClassDef)
    described = [
        statement.target.id
        for statement, following in pairwise(declared.body)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
    ]
    assert sorted(described) == sorted(LogpipeSettings.names())


def test_every_command_is_in_the_reference() -> None:
    listed = re.findall(
        r"^\.\. command:: (\w+)$", (ROOT / "docs/reference/commands.rst").read_text("utf-8"), re.MULTILINE
    )
    there = (path.stem for path in (ROOT / "logpipe_signals/management/commands").glob("[!_]*.py"))
    assert sorted(listed) == sorted(there)
