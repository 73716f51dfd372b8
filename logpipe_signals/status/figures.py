"""The numbers as JSON, in a shape that stays."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from logpipe_signals.monitoring import Overview

FORMAT = 1
"""Grows when a member is renamed or taken away; new ones may come without it."""


def figures(overview: Overview) -> dict[str, Any]:
    """
    Return what `--json` prints.

        {"format": 1, "taken_at": "2026-01-31T12:00:00+00:00", "databases": ["default"],
         "oldest_seconds": 1.5, "lag_records": 0, "dead_letters_waiting": 0,
         "outbox": [...], "lanes": [...], "relays": [...], "consumers": [...], "lag": [...],
         "dead_letters": [...], "backfills": [...], "audits": [...], "problems": [...]}

    Each list holds the members of the dataclass of the same name in `logpipe_signals.monitoring`; times are ISO 8601,
    null is "cannot be told".
    """
    return _plain(
        {
            "format": FORMAT,
            "taken_at": overview.taken_at,
            "databases": overview.databases,
            "oldest_seconds": overview.oldest_seconds,
            "lag_records": overview.lag.records,
            "dead_letters_waiting": overview.dead_letters_waiting,
            "outbox": [asdict(each) for each in overview.outbox],
            "lanes": [asdict(each) for each in overview.lanes],
            "relays": [asdict(each) for each in overview.relays],
            "consumers": [asdict(each) for each in overview.consumers],
            "lag": [asdict(each) for each in overview.lag.partitions],
            "dead_letters": [asdict(each) for each in overview.dead_letters],
            "backfills": [asdict(each) for each in overview.backfills],
            "audits": [asdict(each) for each in overview.audits],
            "problems": overview.problems,
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return round(value, 3) if isinstance(value, float) else value
