"""The table, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure

HEADINGS = ("figure", "ours", "peer", "ratio", "at least", "ok")


def text(figures: Sequence[Figure]) -> str:
    """Return the figures of every issue, a table each."""
    issues = sorted({figure.issue for figure in figures})
    return "\n\n".join(_table(issue, [f for f in figures if f.issue == issue]) for issue in issues)


def _table(issue: int, figures: Sequence[Figure]) -> str:
    rows = [HEADINGS, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    title = {4: "Publishing", 5: "Consuming", 6: "Kinesis", 7: "Running it"}[issue]
    return "\n".join([title, lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cells(figure: Figure) -> tuple[str, ...]:
    bound = f"at most {_number(figure.bound)}" if figure.at_most else _number(figure.bound)
    return (figure.what, figure.ours, figure.peer, _number(figure.value), bound, "yes" if figure.ok else "NO")


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.2f}"
