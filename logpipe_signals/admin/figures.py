"""Numbers as people read them, and the shapes of small charts. Templates draw them; coordinates are whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

CHART_HEIGHT = 80
COLUMN_WIDTH = 28
LANES_A_ROW = 32
LANE_SIZE = 14
OWNER_COLOURS = 6


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A labelled number, and how long its bar is among its neighbours, in percent."""

    label: str
    detail: str
    value: str
    percent: int
    note: str = ""
    is_bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A day's number: what still waits of it stands at the bottom, what was closed above."""

    label: str
    total: int
    waiting: int
    x: int
    top: int
    height: int
    waiting_top: int
    waiting_height: int
    is_labelled: bool


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A lane's square, in the colour of its owner; 0: nobody's."""

    number: int
    owner: str
    colour: int
    x: int
    y: int


def percents(values: Iterable[float]) -> list[int]:
    """Return each value as a share of the largest; what is there at all has at least one."""
    numbers = list(values)
    most = max(numbers, default=0)
    return [max(1, round(100 * value / most)) if value and most else 0 for value in numbers]


def columns(days: Sequence[date], totals: Mapping[date, int], waiting: Mapping[date, int]) -> list[Column]:
    """Return one column a day."""
    most = max((totals.get(day, 0) for day in days), default=0) or 1
    return [_column(place, day, totals.get(day, 0), waiting.get(day, 0), most) for place, day in enumerate(days)]


def _column(place: int, day: date, total: int, waiting: int, most: int) -> Column:
    height, waiting_height = (_height(number, most) for number in (total, waiting))
    return Column(
        label=f"{day:%d %b}",
        total=total,
        waiting=waiting,
        x=place * COLUMN_WIDTH,
        top=CHART_HEIGHT - height,
        height=height,
        waiting_top=CHART_HEIGHT - waiting_height,
        waiting_height=waiting_height,
        is_labelled=place % 3 == 1,
    )


def _height(number: int, most: int) -> int:
    return max(2, round(CHART_HEIGHT * number / most)) if number else 0


def last_days(today: date, count: int) -> list[date]:
    """Return the last days, today as the last one."""
    return [today - timedelta(days=back) for back in range(count - 1, -1, -1)]


def lane_squares(lanes: int, owners: Mapping[int, str]) -> list[Lane]:
    """Return a square a lane; colours repeat when there are many owners."""
    names = sorted(set(owners.values()))
    colour_of = {name: 1 + place % OWNER_COLOURS for place, name in enumerate(names)}
    return [
        Lane(
            number=number,
            owner=owners.get(number, ""),
            colour=colour_of.get(owners.get(number, ""), 0),
            x=number % LANES_A_ROW * LANE_SIZE,
            y=number // LANES_A_ROW * LANE_SIZE,
        )
        for number in range(lanes)
    ]


def duration(seconds: float | None) -> str:
    """Return a time span in its two largest units; "" for None."""
    if seconds is None:
        return ""
    left = max(0, round(seconds))
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or (name == "s" and not parts):
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2])


def number(count: float | None) -> str:
    """Return a number with its thousands apart; "?" for None."""
    return "?" if count is None else f"{count:,.0f}".replace(",", "\u202f")


def approximately(count: float, *, is_exact: bool) -> str:
    """Return a number, marked where it is an estimate."""
    return number(count) if is_exact else f"≈ {number(count)}"
