"""`.. settings::` lists every `LOGPIPE` setting: its name, its default, and what its docstring says."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from logpipe_signals import conf


class Settings(Directive):
    """All settings, in the order and under the headings of `conf.py`."""

    def run(self) -> list[nodes.Node]:
        found = nodes.section()
        lines = StringList([line for each in _entries() for line in each], source="conf.py")
        self.state.nested_parse(lines, self.content_offset, found)
        return found.children


def _entries() -> Iterator[list[str]]:
    (declared,) = ast.parse(inspect.getsource(conf.LogpipeSettings)).body
    body = getattr(declared, "body", [])
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            name, default = ast.unparse(statement.target), ast.unparse(statement.value)
            meaning = inspect.cleandoc(ast.literal_eval(ast.unparse(following))).splitlines()
            yield [f"``{name}`` = ``{default}``", *(f"    {line}" for line in meaning), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
