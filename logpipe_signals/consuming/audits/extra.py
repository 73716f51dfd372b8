"""Extra rows: those of the subscriber that no mark told of."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db.models import Min

from logpipe_signals.consuming.audits.own_rows import OwnRows
from logpipe_signals.consuming.incoming import storable
from logpipe_signals.models import AppliedSequence, Audit, AuditFinding
from logpipe_signals.models.audits import FindingKind, FindingState

HASHES_AT_ONCE = 1_000_000
"""Sorted in memory, 8 bytes each; where there are more, the rows are gone through once more for each so many."""
ROWS_A_WRITE = 500

Row = tuple[int, Mapping[str, Any], str]


def find_extra(audit: Audit, own: OwnRows, names: Sequence[str]) -> int:
    """
    Keep the rows of a finished audit that no mark told of, and return how many changed since it began.

    Those were applied with a higher sequence than the audit's first: they came after their range was read.
    """
    ranges = audit.ranges.all()
    begun = ranges.aggregate(sequence=Min("sequence"))["sequence"]
    unsettled = 0
    for told in _told(audit):
        rows = (row for row in own.keys(names) if row[0] % told.slices == told.slice and row[0] not in told)
        while some := list(islice(rows, ROWS_A_WRITE)):
            unsettled += _keep(audit, some, begun)
    return unsettled


def _keep(audit: Audit, rows: Sequence[Row], begun: int) -> int:
    using = audit._state.db
    keys = {storable(key) for _, _, key in rows if key}
    newer = AppliedSequence.objects.using(using).filter(message_key__in=keys, sequence__gt=begun)
    moved = set(newer.values_list("message_key", flat=True))
    findings = [
        AuditFinding(
            audit=audit,
            key_hash=key_hash,
            kind=FindingKind.EXTRA,
            state=FindingState.CONFIRMED,
            round=audit.rounds,
            key=key,
            lookup=lookup,
        )
        for key_hash, lookup, key in rows
        if storable(key) not in moved
    ]
    AuditFinding.objects.using(using).bulk_create(findings, ignore_conflicts=True)
    return len(rows) - len(findings)


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
