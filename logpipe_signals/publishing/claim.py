"""
Claiming: which outbox rows a relay works on next.

A relay that holds a lane's lease is the only one to read its rows, so a claim is a plain SELECT, remembered in memory:
rows in flight are not claimed again. Ids are not in commit order, so "everything after the last id" would skip rows
that commit late. But reading from the start each time reads the dead rows of everything sent before, which is dear
while an old snapshot keeps them from being vacuumed. So each lane is scanned forward, back from a *floor* a moment
behind whenever its end is reached, and from its very start now and then, the rarer the dearer that is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from logpipe_signals.backend import clock
from logpipe_signals.publishing.aside import Aside
from logpipe_signals.publishing.claim_sql import Scope, read
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.registry import publications

FLOOR_LAG_SECONDS = 1.0
REWIND_SECONDS = 5.0
REWIND_COST_FACTOR = 20
SMALLEST_SHARE = 16
PAGES_OF_CHANGES = 20
LIVE, BACKFILL = 0, 1


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
    """
    What one relay has claimed and not yet settled, on one database alias.

    Args:
        aside: Reads, while one full batch is made and sent, what the next claim will ask for.
    """

    def __init__(self, using: str, aside: Aside | None = None) -> None:
        self.using = using
        self._aside = aside or Aside(using, threaded=False)
        self._foreseen: dict[int, tuple[Scope, Future[list[ClaimedRow]]]] = {}
        self._scans: dict[tuple[int, int], _Scan] = defaultdict(_Scan)
        self._homes: dict[int, _Scan] = {}
        self._changing: dict[int, ClaimedRow] = {}
        self._active_lanes = 1
        self._turn = 0
        self._live_alone = False
        """Whether the last claim had live changes and left the backfills out."""
        self._rewind_at = {LIVE: 0.0, BACKFILL: 0.0}

    def claim(
        self, lanes: Sequence[int], *, limit: int, passing_over: Collection[str] = frozenset()
    ) -> list[ClaimedRow]:
        """
        Return the oldest rows of these lanes that are ready and not in flight; backfills after live changes.

        Live changes do not wait until backfilled rows of the same batch are made: they leave alone, and the next claim
        has both, so that a backfill goes on however steadily live changes come.

        Rows of publications that this release does not know are passed over: another release's relay sends them.

        Args:
            passing_over: Names of publications whose rows are left for another time.
        """
        self._turn += 1
        states = [name for name in publications.sendable("state") if name not in passing_over]
        rows = self._claim(LIVE, lanes, states, limit)
        if len(rows) < limit:
            changes = [name for name in publications.sendable("change") if name not in passing_over]
            rows += self._claim_changes(lanes, changes, limit - len(rows))
        self._live_alone = bool(rows) and not self._live_alone
        if len(rows) < limit and not self._live_alone:
            rows += self._claim(BACKFILL, lanes, states, limit - len(rows))
        return rows

    def settled(self, ids: Iterable[int]) -> None:
        """Forget rows that were retired, put off or given up: they may be claimed again if they are still there."""
        for row_id in ids:
            self._changing.pop(row_id, None)
            if (scan := self._homes.pop(row_id, None)) is not None:
                scan.in_flight.discard(row_id)

    def lanes_in_flight(self) -> frozenset[int]:
        """Return the lanes with claimed rows that have no outcome yet."""
        changing = {change.lane for change in self._changing.values()}
        return frozenset(lane for (_, lane), scan in self._scans.items() if scan.in_flight) | changing

    def look_at_everything(self) -> None:
        """Read from the start at the next claim: lanes came, or rows were put back."""
        self._rewind_at = {LIVE: 0.0, BACKFILL: 0.0}

    def _claim(self, priority: int, lanes: Sequence[int], names: Sequence[str], limit: int) -> list[ClaimedRow]:
        if not lanes or not names:
            return []
        scans = self._scans_of(priority, self._in_turn(lanes, self._turn))
        started = clock.seconds()
        rewound = self._look_back(priority, scans)
        scope = self._scope(priority, scans, names, limit)
        rows = self._rows_of(scope)
        self._remember(rows, scans, share=scope.share, limit=limit)
        if rewound:
            cost_seconds = clock.seconds() - started
            self._rewind_at[priority] = clock.seconds() + max(REWIND_SECONDS, REWIND_COST_FACTOR * cost_seconds)
        if len(rows) == limit and self._aside.overlaps:
            scans = self._scans_of(priority, self._in_turn(lanes, self._turn + 1))
            self._foresee(self._scope(priority, scans, names, limit))
        return rows

    def _scans_of(self, priority: int, lanes: Sequence[int]) -> dict[int, _Scan]:
        return {lane: self._scans[priority, lane] for lane in lanes}

    def _scope(self, priority: int, scans: dict[int, _Scan], names: Sequence[str], limit: int) -> Scope:
        share = max(SMALLEST_SHARE, -(-limit // self._active_lanes))
        positions = [(lane, scan.position) for lane, scan in scans.items()]
        hidden = [row_id for scan in scans.values() for row_id in scan.in_flight if row_id > scan.position]
        return Scope(priority, positions, names, hidden, share, limit)

    def _foresee(self, scope: Scope) -> None:
        """Begin to read what the next claim asks for, should nothing change until then."""
        self._foreseen[scope.priority] = scope, self._aside.run(partial(read, self.using, scope))

    def _rows_of(self, scope: Scope) -> list[ClaimedRow]:
        # The same scope hides the same rows in flight and goes on from the same positions, so none is claimed twice.
        foreseen, found = self._foreseen.pop(scope.priority, (None, None))
        return found.result() if found is not None and foreseen == scope else read(self.using, scope)

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

    def _in_turn(self, lanes: Sequence[int], turn: int) -> list[int]:
        # Another lane comes first at each claim, so that a full batch is not always filled by the same ones.
        first = turn % len(lanes)
        return [*lanes[first:], *lanes[:first]]

    # --- changes, which have to stay in order -------------------------------------------------------------------

    def _claim_changes(self, lanes: Sequence[int], names: Sequence[str], limit: int) -> list[ClaimedRow]:
        """
        Return the oldest change of each row, none of a row that has one on its way or waiting for another try.

        Always read from the start: a change passed over would be overtaken by the next one of its row.
        """
        if not lanes or not names:
            return []
        blocked = {change.row for change in self._changing.values()}
        found: list[ClaimedRow] = []
        positions = dict.fromkeys(self._in_turn(lanes, self._turn), 0)
        for _ in range(PAGES_OF_CHANGES):
            scope = Scope(LIVE, list(positions.items()), names, [], limit, limit, include_waiting=True)
            page = read(self.using, scope)
            for change in page:
                positions[change.lane] = change.id
                if change.row not in blocked and not change.waiting and len(found) < limit:
                    found.append(change)
                blocked.add(change.row)
            if len(page) < limit or len(found) >= limit:
                break
        self._changing.update((change.id, change) for change in found)
        return found
