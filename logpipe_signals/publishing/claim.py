"""
Claiming: which outbox rows a relay works on next.

A relay that holds a lane's lease is the only one to read its rows, so a claim is a plain SELECT, remembered in memory:
rows in flight are not claimed again. Ids are not in commit order, so "everything after the last id" would skip rows
that commit late. But reading from the start each time reads the dead rows of everything sent before, which is dear
while an old snapshot keeps them from being vacuumed. So each lane is scanned forward, back from a *floor* a moment
behind whenever its end is reached, and from its very start now and then, the rarer the dearer that is.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connections

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import clock
from logpipe_signals.registry import publications

FLOOR_LAG_SECONDS = 1.0
REWIND_SECONDS = 5.0
REWIND_COST_FACTOR = 20
SMALLEST_SHARE = 16
LIVE, BACKFILL = 0, 1


class ClaimedRow(NamedTuple):
    """An outbox row as a relay works on it."""

    id: int
    publication: str
    object_id: str
    key: str
    lane: int
    operation: str
    payload: bytes | None
    headers: Any
    attempts: int
    created_at: datetime


@dataclass
class _Scan:
    """How far one lane's rows of one priority were read."""

    position: int = 0
    floor: int = 0
    in_flight: set[int] = field(default_factory=set)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _back_at: float = field(default_factory=clock.seconds)

    def moved(self, highest_id: int) -> None:
        """Remember what was read, and let the floor follow a moment behind."""
        now = clock.seconds()
        self.position = highest_id
        self._recent.append((now, highest_id))
        while self._recent and self._recent[0][0] < now - FLOOR_LAG_SECONDS:
            self.floor = max(self.floor, self._recent.popleft()[1])

    def back_to_floor(self) -> None:
        """Look again where rows may have been committed late."""
        self.position = self.floor
        self._back_at = clock.seconds()

    def back_to_start(self) -> None:
        """Look at everything again."""
        self.position = self.floor = 0
        self._recent.clear()

    @property
    def back_is_due(self) -> bool:
        """Tell whether a lane that never reaches its end has to look back all the same."""
        return clock.seconds() - self._back_at > FLOOR_LAG_SECONDS


class Claims:
    """What one relay has claimed and not yet settled, on one database alias."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._scans: dict[tuple[int, int], _Scan] = defaultdict(_Scan)
        self._homes: dict[int, _Scan] = {}
        self._active_lanes = 1
        self._turn = 0
        self._rewind_at = {LIVE: 0.0, BACKFILL: 0.0}

    def claim(self, lanes: Sequence[int], *, limit: int) -> list[ClaimedRow]:
        """
        Return the oldest rows of these lanes that are ready and not in flight; backfills after live changes.

        Rows of publications that this release does not know are passed over: another release's relay sends them.
        """
        rows = self._claim(LIVE, lanes, limit)
        if len(rows) < limit:
            rows += self._claim(BACKFILL, lanes, limit - len(rows))
        return rows

    def settled(self, ids: Iterable[int]) -> None:
        """Forget rows that were retired, put off or given up: they may be claimed again if they are still there."""
        for row_id in ids:
            if (scan := self._homes.pop(row_id, None)) is not None:
                scan.in_flight.discard(row_id)

    def lanes_in_flight(self) -> frozenset[int]:
        """Return the lanes with claimed rows that have no outcome yet."""
        return frozenset(lane for (_, lane), scan in self._scans.items() if scan.in_flight)

    def look_at_everything(self) -> None:
        """Read from the start at the next claim: lanes came, or rows were put back."""
        self._rewind_at = {LIVE: 0.0, BACKFILL: 0.0}

    def _claim(self, priority: int, lanes: Sequence[int], limit: int) -> list[ClaimedRow]:
        if not lanes or limit <= 0 or not publications.sendable():
            return []
        scans = {lane: self._scans[priority, lane] for lane in self._in_turn(lanes)}
        started = clock.seconds()
        rewound = self._look_back(priority, scans)
        share = max(SMALLEST_SHARE, -(-limit // self._active_lanes))
        rows = self._read(priority, scans, share=share, limit=limit)
        self._remember(rows, scans, share=share, limit=limit)
        if rewound:
            cost_seconds = clock.seconds() - started
            self._rewind_at[priority] = clock.seconds() + max(REWIND_SECONDS, REWIND_COST_FACTOR * cost_seconds)
        return rows

    def _look_back(self, priority: int, scans: dict[int, _Scan]) -> bool:
        rewind = clock.seconds() >= self._rewind_at[priority]
        for scan in scans.values():
            if rewind:
                scan.back_to_start()
            elif scan.back_is_due:
                scan.back_to_floor()
        return rewind

    def _remember(self, rows: Sequence[ClaimedRow], scans: dict[int, _Scan], *, share: int, limit: int) -> None:
        by_lane: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            by_lane[row.lane].append(row.id)
        self._active_lanes = len(by_lane) or 1
        for lane, scan in scans.items():
            ids = by_lane.get(lane, [])
            if ids:
                scan.moved(max(ids))
                scan.in_flight.update(ids)
                self._homes.update(dict.fromkeys(ids, scan))
            if len(ids) < share and len(rows) < limit:
                scan.back_to_floor()

    def _in_turn(self, lanes: Sequence[int]) -> list[int]:
        # Another lane comes first at each claim, so that a full batch is not always filled by the same ones.
        self._turn = (self._turn + 1) % len(lanes)
        return [*lanes[self._turn :], *lanes[: self._turn]]

    def _read(self, priority: int, scans: dict[int, _Scan], *, share: int, limit: int) -> list[ClaimedRow]:
        connection = connections[self.using]
        hidden = [row_id for scan in scans.values() for row_id in scan.in_flight if row_id > scan.position]
        positions = [(lane, scan.position) for lane, scan in scans.items()]
        build = _postgresql if connection.vendor == "postgresql" else partial(_portable, connection.vendor)
        known = publications.sendable()
        sql, parameters = build(priority, positions, known, hidden, share=share, limit=limit)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            found = cursor.fetchall()
        return sorted((_row(values) for values in found), key=attrgetter("id"))


_COLUMNS = ", ".join(ClaimedRow._fields)
_TABLE = OutboxRow._meta.db_table

Query = tuple[str, list[Any]]
Positions = Sequence[tuple[int, int]]


def _postgresql(
    priority: int, positions: Positions, known: Sequence[str], hidden: Sequence[int], *, share: int, limit: int
) -> Query:
    lanes, after = zip(*positions, strict=True)
    sql = f"""
        SELECT found.*
        FROM unnest(%s::int[], %s::bigint[]) WITH ORDINALITY AS held (lane, after, turn),
        LATERAL (
            SELECT {_COLUMNS} FROM {_TABLE} AS pending
            WHERE pending.lane = held.lane AND pending.priority = %s AND pending.id > held.after
            AND (pending.retry_at IS NULL OR pending.retry_at <= CLOCK_TIMESTAMP())
            AND pending.publication = ANY(%s) AND NOT pending.id = ANY(%s::bigint[])
            ORDER BY pending.id LIMIT %s
        ) AS found
        ORDER BY held.turn, found.id LIMIT %s"""  # noqa: S608  (names of our own columns and table)
    return sql, [list(lanes), list(after), priority, list(known), list(hidden), share, limit]


def _portable(
    vendor: str,
    priority: int,
    positions: Positions,
    known: Sequence[str],
    hidden: Sequence[int],
    *,
    share: int,
    limit: int,
) -> Query:
    """One branch a lane: each reads its own range of the index, whatever stands in front of the others."""
    hide = f"AND id NOT IN ({_marks(hidden)})" if hidden else ""
    branches, parameters = [], []
    for lane, after in positions:
        branches.append(f"""SELECT * FROM (
            SELECT {_COLUMNS} FROM {_TABLE}
            WHERE lane = %s AND priority = %s AND id > %s AND (retry_at IS NULL OR retry_at <= {_NOW[vendor]})
            AND publication IN ({_marks(known)}) {hide}
            ORDER BY id LIMIT %s) AS lane_{int(lane)}""")  # noqa: S608  (the same)
        parameters += [lane, priority, after, *known, *hidden, share]
    return " UNION ALL ".join(branches) + " LIMIT %s", [*parameters, limit]


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


_NOW = {"sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')", "mysql": "SYSDATE(6)"}


def _row(values: Sequence[Any]) -> ClaimedRow:
    row = ClaimedRow(*values)
    headers = json.loads(row.headers) if isinstance(row.headers, str) else row.headers
    return row._replace(payload=bytes(row.payload) if row.payload is not None else None, headers=headers)
