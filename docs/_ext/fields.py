"""
Our docstrings, made into reStructuredText.

The fields of a dataclass become a definition list, whatever is indented behind an empty line a literal block:

    topic:     Where it goes.
    partition: Its number, as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

_FIELD = re.compile(r"^(?P<name>[A-Za-z_]\w*(?:, \w+)*):(?P<blanks> +)(?P<text>\S.*)$")


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    del app, what, name, obj, options
    lines[:] = list(_rewritten(lines))


def _rewritten(lines: list[str]) -> Iterator[str]:
    fields = _aligned(lines)
    above = ""
    for number, line in enumerate(lines):
        if number in fields:
            if number - 1 not in fields:
                yield ""
            yield from _entry(line)
        else:
            if line.startswith("    ") and not above:
                yield from ("::", "")
                above = line
            yield line
        above = line if line.strip() or not above.startswith("    ") else above
    yield ""


def _entry(line: str) -> Iterator[str]:
    match = _FIELD.match(line)
    if match:
        yield f"``{match['name']}``"
        yield f"    {match['text']}"
    else:
        yield f"    {line.strip()}"


def _aligned(lines: list[str]) -> set[int]:
    """Return the lines of lists of fields: texts that begin in one column, a field at their head."""
    found: set[int] = set()
    for number, line in enumerate(lines):
        match = _FIELD.match(line)
        if match and number not in found:
            column = match.start("text")
            run = [number]
            for following in range(number + 1, len(lines)):
                if not _belongs(lines[following], column):
                    break
                run.append(following)
            if len(match["blanks"]) > 1 or sum(_FIELD.match(lines[each]) is not None for each in run) > 1:
                found.update(run)
    return found


def _belongs(line: str, column: int) -> bool:
    match = _FIELD.match(line)
    return match.start("text") == column if match else len(line) - len(line.lstrip()) == column and bool(line.strip())


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to docstrings, ahead of napoleon."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
