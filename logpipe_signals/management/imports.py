"""
django-logpipe's names in a project's code: where they stand, and what stands there afterwards.

Only the lines of import statements are looked at, by Python's own parser. A module of django-logpipe has one here with
the same names; the few names that have none are reported, to be seen to by hand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

THEIRS = "logpipe"
OURS = "logpipe_signals"
MODULES: Mapping[str, str] = {
    THEIRS: OURS,
    "logpipe.constants": OURS,
    "logpipe.consumer": OURS,
    "logpipe.producer": OURS,
    "logpipe.exceptions": "logpipe_signals.exceptions",
    "logpipe.format": "logpipe_signals.formats",
    "logpipe.formats.json": "logpipe_signals.formats.json",
    "logpipe.formats.msgpack": "logpipe_signals.formats.msgpack",
    "logpipe.formats.pickle": "logpipe_signals.formats.pickle",
    "logpipe.registry": "logpipe_signals.registry",
    "logpipe.abc": "logpipe_signals.backend.base",
    "logpipe.backend.kafka": "logpipe_signals.backend.kafka",
    "logpipe.backend.kinesis": "logpipe_signals.backend.kinesis",
    "logpipe.backend.dummy": "logpipe_signals.backend.dummy",
}
NOT_A_PROJECTS = frozenset({"site-packages", "node_modules", "__pycache__"})
_FROM = re.compile(r"^(?P<indent>\s*from\s+)(?P<module>[\w.]+)(?P<rest>\s+import\b.*)$", re.DOTALL)
_IMPORT = re.compile(r"^(?P<indent>\s*import\s+)(?P<module>[\w.]+)(?P<rest>(\s+as\s+\w+)?\s*(#.*)?)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Found:
    """
    One import of django-logpipe.

    path, line: where it stands.  text: the statement's first line.
    becomes:    the line as it is afterwards; None where somebody has to look.  why: then, why.
    """

    path: Path
    line: int
    text: str
    becomes: str | None = None
    why: str = ""


def find(folder: Path) -> Iterator[Found]:
    """Yield the imports of django-logpipe in a folder's Python files, passing over environments and hidden folders."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts[:-1]
        is_environment = any(
            (folder.joinpath(*inside[:depth]) / "pyvenv.cfg").exists() for depth in range(1, len(inside) + 1)
        )
        if not is_environment and not any(part.startswith(".") or part in NOT_A_PROJECTS for part in inside):
            yield from _found(path)


def rewrite(found: Found) -> None:
    """Put the line as it is afterwards into the file."""
    lines = found.path.read_text(encoding="utf-8").splitlines(keepends=True)
    if found.becomes is None or lines[found.line - 1] != found.text:
        raise ValueError(f"{found.path}:{found.line} is not what was found there. Run the command again.")
    lines[found.line - 1] = found.becomes
    found.path.write_text("".join(lines), encoding="utf-8")


def _found(path: Path) -> Iterator[Found]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if THEIRS not in text:
        return
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield Found(path=path, line=error.lineno or 1, text="", why="this file is no Python that can be read")
        return
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        names = _theirs(node)
        if names is not None and isinstance(node, ast.stmt):
            line = lines[node.lineno - 1]
            becomes, why = _afterwards(line, *names)
            yield Found(path=path, line=node.lineno, text=line, becomes=becomes, why=why)


def _theirs(node: ast.AST) -> tuple[str, ...] | None:
    """Return a module of django-logpipe and what is imported from it; None for any other statement."""
    if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_theirs(node.module or ""):
        return (node.module or "", *(alias.name for alias in node.names))
    if isinstance(node, ast.Import):
        return next(((alias.name,) for alias in node.names if _is_theirs(alias.name)), None)
    return None


def _is_theirs(module: str) -> bool:
    return module.partition(".")[0] == THEIRS


def _afterwards(line: str, module: str, *names: str) -> tuple[str | None, str]:
    target = MODULES.get(module)
    if target is None:
        return None, f"{module} has no counterpart"
    missing = [name for name in names if not hasattr(import_module(target), name)]
    if missing:
        return None, f"{target} has no {', '.join(missing)}"
    match = _FROM.match(line) if names else _IMPORT.match(line)
    if match is None or match["module"] != module:
        return None, "several modules in one statement: give each a line of its own"
    as_before = f" as {THEIRS}" if not names and module == THEIRS and " as " not in match["rest"] else ""
    if not names and module != THEIRS and " as " not in match["rest"]:
        return None, f"the code behind it says {module}.: import {target} as a name"
    ending = match["rest"] if not as_before else as_before + match["rest"]
    return f"{match['indent']}{target}{ending}", ""
