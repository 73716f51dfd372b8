"""Numbers and times in the settings: of the right kind, in the right unit, and not at odds with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.housekeeping import retention_days

HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS


@dataclass(frozen=True, kw_only=True)
class Bound:
    """
    What a number may be.

    least, exclusive: The smallest value, and whether it is itself too small.
    most:             Above it, another unit was meant: what it holds is no plausible time.
    """

    unit: str
    whole: bool = False
    least: float = 0
    exclusive: bool = False
    most: float | None = None


def _seconds(most: float = HOUR_SECONDS, *, zero: bool = False) -> Bound:
    return Bound(unit="seconds", exclusive=not zero, most=most)


def _count(unit: str, least: int = 1) -> Bound:
    return Bound(unit=unit, whole=True, least=least)


BOUNDS = {
    "COMPRESSION_MIN_BYTES": _count("bytes", 0),
    "MIN_MESSAGE_LAG_MS": Bound(unit="milliseconds", whole=True, most=1000 * DAY_SECONDS),
    "KAFKA_SEND_TIMEOUT": _seconds(),
    "KAFKA_MAX_SEND_RETRIES": _count("retries", 0),
    "RELAY_BATCH_SIZE": _count("rows"),
    "RELAY_POLL_SECONDS": _seconds(),
    "RELAY_SEND_TIMEOUT_SECONDS": _seconds(),
    "RELAY_RETRY_SECONDS": _seconds(),
    "RELAY_MAX_RETRY_SECONDS": _seconds(DAY_SECONDS),
    "INLINE_WAIT_SECONDS": _seconds(60.0, zero=True),
    "INLINE_BATCHES": _count("batches"),
    "BREAKER_SECONDS": _seconds(zero=True),
    "SWEEP_SECONDS": _seconds(),
    "LANES": Bound(unit="lanes", whole=True, least=1, most=32_767),
    "LEASE_SECONDS": _seconds(),
    "BACKFILL_OUTBOX_ROWS": _count("rows"),
    "DATABASE_LOG_PARTITIONS": _count("partitions"),
    "DATABASE_LOG_POLL_SECONDS": _seconds(60.0),
    "CONSUMER_BATCH_SIZE": _count("records"),
    "HEARTBEAT_SECONDS": _seconds(),
    "LONGEST_OUTAGE_SECONDS": _seconds(366 * DAY_SECONDS, zero=True),
}
"""Of every setting that is a number, but those of Kinesis, which its backend looks at."""

ORDERED = (
    ("RELAY_SEND_TIMEOUT_SECONDS", "LEASE_SECONDS", "a send always ends before the lease does, so it has less time"),
    ("RELAY_RETRY_SECONDS", "RELAY_MAX_RETRY_SECONDS", "the first pause would be longer than the longest"),
    ("INLINE_WAIT_SECONDS", "LEASE_SECONDS", "whoever sends inline would outlive its lease"),
    ("DATABASE_LOG_POLL_SECONDS", "LEASE_SECONDS", "a consumer would lose its partitions between two looks"),
)
"""Pairs of which the first has to be smaller, and what happens otherwise."""


def check_values(**_: Any) -> list[CheckMessage]:
    """Return the numbers that mean nothing, or something else than what was meant."""
    found = [message for name, bound in BOUNDS.items() for message in _look_at(name, bound)]
    return [*(found or _at_odds()), *_retention()]


def _look_at(name: str, bound: Bound) -> Iterator[CheckMessage]:
    value = getattr(settings, name)
    if isinstance(value, timedelta):
        yield _wrong(name, value, "a timedelta", f"Say the number: {_in_unit(value, bound.unit)}.")
    elif isinstance(value, bool) or not isinstance(value, int if bound.whole else (int, float)):
        kind = "whole number" if bound.whole else "number"
        yield _wrong(name, value, f"no {kind} of {bound.unit}", f"Say a {kind} of {bound.unit}, without quotes.")
    elif value < bound.least or (bound.exclusive and value == bound.least) or value != value:
        least = "more than 0" if bound.exclusive else f"{bound.least:g} or more"
        yield _wrong(name, value, "too small", f"Say {least}, in {bound.unit}.")
    elif bound.most is not None and value > bound.most:
        yield _too_much(name, value, bound)


def _retention() -> Iterator[CheckMessage]:
    try:
        retention_days("log")
    except DeclarationError as error:
        yield Error(str(error), hint="Kinds and days: docs/operations.rst.", id="logpipe_signals.E026")


def _in_unit(value: timedelta, unit: str) -> str:
    seconds = value.total_seconds()
    return f"{1000 * seconds:g}" if unit == "milliseconds" else f"{seconds:g}"


def _wrong(name: str, value: Any, what: str, cure: str) -> Error:
    return Error(f"LOGPIPE[{name!r}] is {value!r}, which is {what}.", hint=cure, id="logpipe_signals.E025")


def _too_much(name: str, value: float, bound: Bound) -> CheckMessage:
    meant = f" If milliseconds were meant, say {value / 1000:g}." if bound.unit == "seconds" else ""
    return checks.Warning(
        f"LOGPIPE[{name!r}] is {value:g} {bound.unit}, more than is likely to be meant ({bound.most:g}).",
        hint=f"Its unit is {bound.unit}.{meant}",
        id="logpipe_signals.W011",
    )


def _at_odds() -> Iterator[CheckMessage]:
    for smaller, larger, consequence in ORDERED:
        less, more = getattr(settings, smaller), getattr(settings, larger)
        if less >= more:
            yield checks.Warning(
                f"LOGPIPE[{smaller!r}] is {less:g} and LOGPIPE[{larger!r}] is {more:g}: {consequence}.",
                hint=f"Let {smaller} be smaller than {larger}.",
                id="logpipe_signals.W012",
            )
