"""
The promise of `related=`, as a judgement: what a message shows of others was committed, gets no older, ends true.

    violations = judge_shown(parts, messages, table, strict=True)

Writers of a shelf and of the books on it hold no common lock, so no history says how they looked together at a moment.
But of each book, each shelf that it shows goes through the shelf's own states in order, and the last message of a book
shows all rows as they are in the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.scenarios.checker import Change, Entry, History, Violation, never_committed, out_of_order, refuse_stale

Shown = Mapping[str, str]
"""What a message shows of other rows: identity to state."""


def judge_shown(
    parts: Iterable[Change],
    entries: Sequence[Entry],
    shown_in: Callable[[Mapping[str, Any]], Shown],
    table: Mapping[str, Mapping[str, Any]],
    *,
    strict: bool = True,
) -> list[Violation]:
    """
    Hold what messages show against the rows that are shown.

    Args:
        parts: The history of the shown rows.
        entries: The messages of the rows that show them.
        shown_in: Tells what a message's body shows.
        table: What a message of each row, by its identity, would hold if it was made now.
    """
    seen = entries if strict else refuse_stale(entries)
    history = _Parts(parts)
    pieces, seen_pieces = list(_pieces(entries, shown_in)), list(_pieces(seen, shown_in))
    return [
        *never_committed(history, pieces),
        *out_of_order(history, pieces, seen_pieces),
        *_not_true_at_last(seen, table),
    ]


class _Parts(History):
    """The history of the shown rows, looked up by who shows them too: `book:5>shelf:3`."""

    def places_of(self, entry: Entry) -> list[int]:
        part = entry.row.partition(">")[2]
        self.of_row.setdefault(entry.row, self.of_row.get(part, []))
        return super().places_of(replace(entry, row=part, key=part.partition(":")[2]))


def _pieces(entries: Iterable[Entry], shown_in: Callable[[Mapping[str, Any]], Shown]) -> Iterator[Entry]:
    for entry in entries:
        for part, state in shown_in(json.loads(entry.state)).items() if entry.state is not None else ():
            yield replace(entry, row=f"{entry.row}>{part}", state=state)


def _not_true_at_last(seen: Iterable[Entry], table: Mapping[str, Mapping[str, Any]]) -> Iterator[Violation]:
    last = {entry.row: entry for entry in seen}
    for row, wanted in table.items():
        found = last.get(row)
        told = json.loads(found.state) if found is not None and found.state is not None else None
        if told != wanted:
            yield Violation(rule="shows_old", row=row, detail=f"last is {found}, and the tables have {wanted}")
