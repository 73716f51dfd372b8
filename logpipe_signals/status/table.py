"""The numbers as a table that is readable at 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from logpipe_signals.monitoring import AuditProgress, Overview, PartitionLag

WIDTH = 80
Paint = Callable[[str, str], str]
"""Colours a text as `notice`, `warning` or `error`; or leaves it."""
Row = tuple[Sequence[str], str]
"""Cells, and how the row is painted ("": not)."""
OLD_SECONDS = 300


def table(overview: Overview, paint: Paint) -> str:
    """Return the whole page."""
    lines = [_headline(overview), ""]
    for part in (_outbox, _relays, _consumers, _lag, _letters, _backfills, _audits):
        lines += [*part(overview, paint), ""]
    lines += [paint(line, "error") for problem in overview.problems for line in _folded(problem)]
    return "\n".join(lines).rstrip() + "\n"


def _headline(seen: Overview) -> str:
    return f"logpipe_signals at {seen.taken_at:%Y-%m-%d %H:%M:%S} UTC, databases: {', '.join(seen.databases)}"


def _outbox(seen: Overview, paint: Paint) -> Iterator[str]:
    rows = [
        (
            (
                each.publication,
                each.using,
                _count(each.rows, is_exact=each.is_exact),
                _count(each.backfill_rows, is_exact=each.is_exact),
                _count(each.retrying_rows, is_exact=each.is_exact),
                _age(each.oldest_seconds),
            ),
            "warning" if (each.oldest_seconds or 0) > OLD_SECONDS else "",
        )
        for each in seen.outbox
        if each.rows
    ]
    titles = ("OUTBOX", "database", "rows", "backfill", "retrying", "oldest")
    yield from _section(titles, rows, paint, empty="nothing waits")


def _relays(seen: Overview, paint: Paint) -> Iterator[str]:
    rows = [
        ((f"{each.host}:{each.pid}", each.using, str(len(each.lanes)), *_life(each)), "error" if each.is_gone else "")
        for each in seen.relays
    ]
    titles = ("RELAYS", "database", "lanes", "since", "last seen")
    held = ", ".join(f"{each.using} {each.held} of {each.lanes}" for each in seen.lanes if each.held)
    yield from _section(titles, rows, paint, empty=f"none runs{f'; lanes held: {held}' if held else ''}")


def _consumers(seen: Overview, paint: Paint) -> Iterator[str]:
    rows = [
        (
            (f"{each.host}:{each.pid}", each.group, _joined(each.topics), str(len(each.partitions)), *_life(each)),
            "error" if each.is_gone else "",
        )
        for each in seen.consumers
    ]
    titles = ("CONSUMERS", "group", "topics", "partitions", "since", "last seen")
    yield from _section(titles, rows, paint, empty="none runs")


def _lag(seen: Overview, paint: Paint) -> Iterator[str]:
    rows = [
        (
            (each.topic, each.group, each.partition, each.position or "-", _behind(each), _age(each.moved_seconds_ago)),
            "warning" if each.records or each.behind_seconds else "",
        )
        for each in seen.lag.partitions
    ]
    titles = ("LAG", "group", "partition", "position", "behind", "moved")
    yield from _section(titles, rows, paint, empty="no group has a position here")


def _letters(seen: Overview, paint: Paint) -> Iterator[str]:
    rows = [
        (
            (each.topic, each.using, each.side, each.state, _count(each.count, is_exact=each.is_exact, bound="over ")),
            "error" if each.state == "open" else "",
        )
        for each in seen.dead_letters
    ]
    yield from _section(("DEAD LETTERS", "database", "side", "state", "count"), rows, paint, empty="none waits")


def _backfills(seen: Overview, paint: Paint) -> Iterator[str]:
    if not seen.backfills:
        return
    rows = [
        (
            (
                f"{each.id} {each.publication}",
                each.using,
                each.state,
                f"{each.rows_done:,}" + (f" of {each.rows_total:,}" if each.rows_total is not None else ""),
                f"{each.rows_a_second:,.0f}/s" if each.rows_a_second else "-",
                _age(each.seconds_left),
            ),
            "error" if each.state == "failed" else "",
        )
        for each in seen.backfills
    ]
    yield from _section(("BACKFILLS", "database", "state", "rows", "rate", "left"), rows, paint, empty="")


def _audits(seen: Overview, paint: Paint) -> Iterator[str]:
    if not seen.audits:
        return
    rows = [
        (
            (f"{each.topic} {each.message_type}", each.group, each.run, each.state, *map(str, _differing(each))),
            "error" if any(_differing(each)) else "",
        )
        for each in seen.audits
    ]
    titles = ("AUDITS", "group", "audit", "state", "missing", "extra", "different")
    yield from _section(titles, rows, paint, empty="")


def _differing(each: AuditProgress) -> tuple[int, int, int]:
    return each.missing, each.extra, each.different


# --- laying out -------------------------------------------------------------------------------------------------------


def _section(titles: Sequence[str], rows: Sequence[Row], paint: Paint, *, empty: str) -> Iterator[str]:
    if not rows:
        yield f"{paint(titles[0], 'notice')}  {empty}"
        return
    widths = _widths([titles, *(cells for cells, _ in rows)])
    yield paint(_line(titles, widths), "notice")
    for cells, colour in rows:
        line = _line(cells, widths)
        yield paint(line, colour) if colour else line


def _widths(table_rows: Sequence[Sequence[str]]) -> list[int]:
    """Return as much as each column needs; the widest ones give way until all fit."""
    widths = [max(map(len, column)) for column in zip(*table_rows, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = [_cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(fitted).rstrip()


def _cut(text: str, width: int) -> str:
    """Shorten in the middle: both ends of a name tell it apart."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def _folded(text: str) -> list[str]:
    return textwrap.wrap(f"! {text}", WIDTH, subsequent_indent="  ")


# --- cells ------------------------------------------------------------------------------------------------------------


def _life(each: Any) -> tuple[str, str]:
    return f"{each.since:%m-%d %H:%M}", f"GONE {_age(each.seen_seconds_ago)}" if each.is_gone else _age(
        each.seen_seconds_ago
    )


def _count(number: int, *, is_exact: bool, bound: str = "~") -> str:
    return f"{number:,}" if is_exact or not number else f"{bound}{number:,}"


def _behind(each: PartitionLag) -> str:
    if each.records is not None:
        return f"{each.records:,}"
    return "?" if each.behind_seconds is None else _age(each.behind_seconds)


def _age(seconds: float | None) -> str:
    """Return a length of time in its two largest units."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part}{smaller}"
    return f"{whole}s"


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) or "-"
