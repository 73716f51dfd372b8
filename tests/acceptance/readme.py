"""
What the README holds, taken apart: its code blocks, and the settings it lists beside those there are.

`python -m tests.acceptance.readme` writes the settings of `conf.py` into it; it needs DJANGO_SETTINGS_MODULE.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from logpipe_signals import conf

README = Path(__file__).resolve().parents[2] / "README.rst"
BEGIN, END = ".. settings begin", ".. settings end"
_BLOCK = re.compile(r"^\.\. code-block:: (?P<language>\w+)\n\n(?P<body>(?:(?:[ ]{4}.*)?\n)+)", re.MULTILINE)


def blocks(text: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (language, code) of the README's code blocks, or of a part of it, in order."""
    for match in _BLOCK.finditer(README.read_text() if text is None else text):
        yield match["language"], textwrap.dedent(match["body"]).strip() + "\n"


def section(title: str) -> str:
    """Return the text of one section, up to the next heading of its level."""
    _, _, rest = README.read_text().partition(f"\n{title}\n{'=' * len(title)}\n")
    return re.split(r"\n[^\n]+\n={4,}\n", rest)[0]


def listed_settings() -> str:
    """Return the list of settings that the README has."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def settings_there_are() -> str:
    """Return the list as `conf.py` has it: name, default, meaning."""
    entries = [f"``{name}`` = ``{default}``\n{meaning}" for name, default, meaning in _settings()]
    return "\n\n".join(entries)


def _settings() -> Iterator[tuple[str, str, str]]:
    (declared,) = ast.parse(inspect.getsource(conf.LogpipeSettings)).body
    assert isinstance(declared, ast.ClassDef)
    for statement, following in zip(declared.body, declared.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr), f"{statement.target.id} has no docstring"
            assert isinstance(following.value, ast.Constant)
            assert statement.value is not None
            yield statement.target.id, ast.unparse(statement.value), _as_rst(str(following.value.value))


def _as_rst(docstring: str) -> str:
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", " ".join(docstring.split()))
    return textwrap.fill(
        text, width=110, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def write_settings() -> None:
    """Put the list as `conf.py` has it into the README."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n\n{settings_there_are()}\n\n{END}{after}")


if __name__ == "__main__":
    write_settings()
