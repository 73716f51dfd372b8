"""What the README holds, taken apart: its sections and their code blocks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.rst"
_BLOCK = re.compile(r"^\.\. code-block:: (?P<language>\w+)\n\n(?P<body>(?:(?:[ ]{4}.*)?\n)+)", re.MULTILINE)


def blocks(text: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (language, code) of the README's code blocks, or of a part of it, in order."""
    for match in _BLOCK.finditer(README.read_text() if text is None else text):
        yield match["language"], textwrap.dedent(match["body"]).strip() + "\n"


def section(title: str) -> str:
    """Return the text of one section, up to the next heading of its level."""
    _, _, rest = README.read_text().partition(f"\n{title}\n{'=' * len(title)}\n")
    return re.split(r"\n[^\n]+\n={4,}\n", rest)[0]
