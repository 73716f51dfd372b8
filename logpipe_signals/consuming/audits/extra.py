"""Extra rows: those of the subscriber that no mark told of."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from logpipe_signals.consuming.audits.own_rows import OwnRows
from logpipe_signals.consuming.audits.touched import touched
from logpipe_signals.models import Audit, AuditFinding
from logpipe_signals.models.audits import FindingKind, FindingState

HASHES_AT_ONCE = 1_000_000
"""Sorted in memory, 8 bytes each; where there are more, the rows are gone through once more for each so many."""
ROWS_A_WRITE = 500

Row = tuple[int, Mapping[str, Any], str]


def find_extra(audit: Audit, own: OwnRows, names: Sequence[str]) -> None:
    """
    Keep the rows of a finished audit that no mark told of, and that no message was about since it began.

    What was touched is asked after the rows are read: a row that came meanwhile is among it.
    """
    for told in _told(audit):
        rows = (row for row in own.keys(names) if row[0] % told.slices == told.slice and row[0] not in told)
        while some := list(islice(rows, ROWS_A_WRITE)):
            meanwhile = touched(audit)
            _keep(audit, [row for row in some if row[0] not in meanwhile])


def _keep(audit: Audit, rows: Sequence[Row]) -> None:
    findings = [
        AuditFinding(
            audit=audit,
            key_hash=key_hash,
            kind=FindingKind.EXTRA,
            state=FindingState.SUSPECTED,  # Until the report that found it is the one that ends the audit.
            round=audit.rounds,
            key=key,
            lookup=lookup,
        )
        for key_hash, lookup, key in rows
    ]
    AuditFinding.objects.using(audit._state.db).bulk_create(findings, ignore_conflicts=True)


class _Told:
    """The hashes that marks told of, or a slice of them."""

    def __init__(self, hashes: array[int], number: int, slices: int) -> None:
        self._hashes = array("q", sorted(hashes))
        self.slice, self.slices = number, slices

    def __contains__(self, key_hash: int) -> bool:
        place = bisect_left(self._hashes, key_hash)
        return place < len(self._hashes) and self._hashes[place] == key_hash


def _told(audit: Audit) -> Iterator[_Told]:
    total = sum(audit.ranges.values_list("rows", flat=True))
    slices = 1 + total // HASHES_AT_ONCE
    for number in range(slices):
        found: array[int] = array("q")
        for keys in audit.ranges.values_list("keys", flat=True).iterator():
            some: array[int] = array("q")
            some.frombytes(bytes(keys))
            found.extend(some if slices == 1 else array("q", [each for each in some if each % slices == number]))
        yield _Told(found, number, slices)
