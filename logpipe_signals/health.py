"""Whether this process may be given work: cheap and bounded questions, numbers and names in the answers, no secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from logpipe_signals import monitoring
from logpipe_signals.exceptions import LogPipeError


@dataclass(frozen=True, kw_only=True)
class Health:
    """The outcome: `checks` holds, by name, "ok" or a number, or what is wrong."""

    ready: bool
    checks: Mapping[str, Any] = field(default_factory=dict)


def readiness(*, max_oldest_seconds: float | None = None, max_lag_records: float | None = None) -> Health:
    """
    Ask every database that has the tables one small thing; and how old and how far behind, where a bound is given.

    An age or a lag says something about relays and consumers, not about the process that is asked: give a bound where
    the probe is to watch these, and none where it decides if a web server gets requests.
    """
    checks: dict[str, Any] = {}
    found = [_ask(checks, f"database {using}", partial(_answers, using)) for using in monitoring.databases()]
    if max_oldest_seconds is not None:
        found.append(_ask(checks, "oldest_seconds", _oldest, bound=max_oldest_seconds))
    if max_lag_records is not None:
        found.append(_ask(checks, "lag_records", lambda: monitoring.recent_lag().records, bound=max_lag_records))
    return Health(ready=all(found), checks=checks)


def _ask(checks: dict[str, Any], name: str, ask: Callable[[], Any], *, bound: float | None = None) -> bool:
    """Note an answer under its name, and tell whether it is good. An error's text stays here: it may name hosts."""
    try:
        answer = ask()
    except (DatabaseError, InterfaceError, LogPipeError) as error:
        checks[name] = f"fails: {type(error).__name__}"
        return False
    if bound is None:
        checks[name] = "ok"
        return True
    checks[name] = {"value": answer, "at_most": bound}
    return answer is not None and answer <= bound


def _answers(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _oldest() -> float:
    ages = [monitoring.oldest_seconds(using) or 0.0 for using in monitoring.databases()]
    return round(max(ages, default=0.0), 3)
