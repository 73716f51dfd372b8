"""
The promise of `payload="change"`, as a judgement: each committed save is a message of its own, in order.

    violations = judge_each(changes, entries, parked={"meter:1": 3}, strict=True)

Of each row the log has every committed write, whole transactions or not, and nothing else, in the order of the row's
lock. A message may come twice, as the next one is sent only after it was acknowledged: so copies stand side by side.
A write that no message can tell holds back its row: nothing behind it is on the log until somebody skips it, and what
waits is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from tests.scenarios.checker import Change, Entry, Violation, grouped, refuse_stale


def judge_each(
    changes: Iterable[Change],
    entries: Iterable[Entry],
    *,
    waiting: Mapping[str, int] | None = None,
    untold: Callable[[str], bool] = lambda state: False,
    strict: bool = True,
) -> list[Violation]:
    """
    Hold a log against the writes that it has to tell, one by one.

    Args:
        waiting: How many changes of a row are dead letters, the first of them and what is parked behind it.
        untold: Whether a state is one that no message can be made of, and that somebody skipped.
        strict: Whether the log itself is in order, or only what a consumer passes that goes by the sequence.
    """
    log = list(entries) if strict else refuse_stale(list(entries))
    told = {row: _told(of_row) for row, of_row in grouped(log, lambda entry: entry.row).items()}
    wanted = {
        row: [change.state for change in of_row if change.state is None or not untold(change.state)]
        for row, of_row in grouped(sorted(changes, key=lambda c: c.number), lambda change: change.row).items()
    }
    return list(_compare(wanted, told, waiting or {}))


def _told(entries: Sequence[Entry]) -> list[str | None]:
    """Return what a row's messages say, each once where it stands several times in a row."""
    return [state for state, _ in groupby(entry.state for entry in entries)]


def _compare(
    wanted: Mapping[str, Sequence[str | None]], told: Mapping[str, Sequence[str | None]], waiting: Mapping[str, int]
) -> Iterator[Violation]:
    for row in sorted(wanted.keys() | told.keys()):
        committed, found = list(wanted.get(row, ())), list(told.get(row, ()))
        expected = committed[: len(committed) - waiting.get(row, 0)]
        if found == expected:
            continue
        place = next((n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
        place = min(len(expected), len(found)) if place is None else place
        yield Violation(
            rule="not_each",
            row=row,
            detail=f"{len(expected)} committed, {len(found)} on the log; from place {place} on committed are "
            f"{expected[place : place + 3]}, and the log has {found[place : place + 3]}",
        )
