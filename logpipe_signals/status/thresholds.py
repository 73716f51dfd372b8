"""Thresholds: `oldest>300,lag>10000,dead>0` for a cron job or a probe that wants an exit code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from logpipe_signals.monitoring import Overview

Measure = Callable[[Overview], float | None]

MEASURES: dict[str, tuple[Measure, str]] = {
    "oldest": (lambda seen: seen.oldest_seconds or 0.0, "seconds since the oldest live change in the outbox"),
    "outbox": (lambda seen: sum(each.rows for each in seen.outbox), "rows in the outbox"),
    "lag": (
        lambda seen: seen.lag.records if seen.lag.partitions else 0,
        "records behind, in all partitions",
    ),
    "behind": (
        lambda seen: max((each.behind_seconds or 0.0 for each in seen.lag.partitions), default=0.0),
        "seconds behind (Kinesis)",
    ),
    "dead": (lambda seen: seen.dead_letters_waiting, "dead letters that are open or parked"),
    "drift": (
        lambda seen: sum(each.missing + each.extra + each.different for each in seen.audits),
        "rows that differ, by the newest audit of each topic",
    ),
    "gone": (lambda seen: sum(each.is_gone for each in (*seen.relays, *seen.consumers)), "relays and consumers gone"),
    "relays": (lambda seen: sum(not each.is_gone for each in seen.relays), "running relays"),
    "consumers": (lambda seen: sum(not each.is_gone for each in seen.consumers), "running consumers"),
    "problems": (lambda seen: len(seen.problems), "things that could not be told"),
}
_FORM = re.compile(r"\s*(\w+)\s*([<>])\s*(\d+(?:\.\d+)?)\s*\Z")


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One condition that is a failure: `lag > 10000`."""

    measure: str
    sign: str
    bound: float

    def broken_by(self, overview: Overview) -> str:
        """Return what is wrong, "" where nothing is. What cannot be told breaks a bound too."""
        value = MEASURES[self.measure][0](overview)
        if value is None:
            return f"{self.measure} cannot be told"
        over = value > self.bound if self.sign == ">" else value < self.bound
        return f"{self.measure} is {value:g}, and {self.sign} {self.bound:g} is a failure" if over else ""


def parse(text: str) -> list[Threshold]:
    """
    Read thresholds.

    Raises:
        ValueError: With what is wrong, and the names there are.
    """
    return [_one(part) for part in text.split(",") if part.strip()]


def _one(part: str) -> Threshold:
    match = _FORM.match(part)
    if match is None or match[1] not in MEASURES:
        known = ", ".join(MEASURES)
        raise ValueError(f"{part.strip()!r} is no threshold. Write NAME>NUMBER or NAME<NUMBER; the names are {known}.")
    return Threshold(measure=match[1], sign=match[2], bound=float(match[3]))
