"""
The pages of the documentation, taken apart into what a reader does with them.

A block is done by what it is:

- ``python`` whose first line names a file (``# people/models.py``) is written to that file; to a ``settings.py`` or
  ``urls.py`` it is added.
- other ``python`` runs in the project, with its models at hand.
- ``console``: the lines behind a ``$`` are run, and what stands under one has to be in what it prints; ``...`` stands
  for anything.
- ``json`` and ``yaml`` are parsed. ``text`` is to look at.

Four comments in a page speak to this reader, and are invisible to people. ``.. before: CODE`` is Python that runs
ahead of the next block, or is written ahead of it. ``.. shown: REASON`` says why the next block is not done: it has to
be well formed all the same. ``.. exits: 1`` says what the next block's commands exit with. ``.. needs: SERVICE`` starts
one (``kafka``) for the rest of the section.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

_ITEM = re.compile(
    r"^(?P<indent>[ ]*)\.\. (?:code-block:: (?P<language>[\w-]+)|(?P<word>before|shown|exits|needs):(?P<rest>.*))\n"
    r"(?P<body>(?:(?:(?P=indent)[ ]{3,}.*)?\n)*)",
    re.MULTILINE,
)
_HEADING = re.compile(r"^(?P<title>\S.*)\n(?P<line>([=\-])\3{3,})$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """
    One block of code, with what was said of it.

    page, line: where it stands.  language: of the code.
    before:     Python ahead of it.  shown: why it is not done, or empty.
    exits:      what its commands exit with.  needs: services by name.
    """

    page: str
    line: int
    language: str
    code: str
    before: str = ""
    shown: str = ""
    exits: int = 0
    needs: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that a Python block names in its first line, or nothing."""
        first = self.code.partition("\n")[0]
        return first.removeprefix("# ") if re.fullmatch(r"# [\w/.]+\.(py|html)", first) else ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What stands under one heading: its blocks in order. A reader begins each with the tutorial's project."""

    page: str
    title: str
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


def sections(page: Path) -> Iterator[Section]:
    """Yield the sections of a page that hold code."""
    text = page.read_text(encoding="utf-8")
    headings = [(0, page.stem), *((match.start(), match["title"]) for match in _HEADING.finditer(text))]
    ends = [start for start, _ in headings[1:]] + [len(text)]
    for (start, title), end in zip(headings, ends, strict=True):
        blocks = tuple(_blocks(page, text, start, end))
        if blocks:
            yield Section(page=page.name, title=title, blocks=blocks)


def _blocks(page: Path, text: str, start: int, end: int) -> Iterator[Block]:
    before, shown, exits, needs = "", "", 0, frozenset[str]()
    for item in _ITEM.finditer(text, start, end):
        body = textwrap.dedent(item["body"]).strip("\n")
        if item["word"] == "before":
            before += textwrap.dedent(item["rest"].strip() + "\n" + body) + "\n"
        elif item["word"] == "shown":
            shown = " ".join(f"{item['rest']} {body}".split())
        elif item["word"] == "exits":
            exits = int(item["rest"])
        elif item["word"] == "needs":
            needs |= frozenset(item["rest"].split())
        else:
            code = re.sub(r"\A(:\w[\w-]*:.*\n)+\n?", "", body).strip("\n") + "\n"
            yield Block(
                page=page.name,
                line=text.count("\n", 0, item.start()) + 1,
                language=item["language"],
                code=code,
                before=before,
                shown=shown,
                exits=exits,
                needs=needs,
            )
            before, shown, exits = "", "", 0
