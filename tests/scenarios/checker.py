"""
The publishing promises, as a judgement over two lists: what was committed, and what stands on the log.

    verdict = judge(changes, entries, strict=True)
    assert verdict.holds, verdict.report(seed)

`changes` is what an audit trigger wrote: for each row, its states in the order of the row's lock. `entries` is the
whole log, each partition in the order of its offsets. Each rule below is one promise and a function of its own:

- `never_committed`: no message shows a state that no transaction committed (rolled back, half done, mixed).
- `out_of_order`:    of each row and key, no message is older than one before it; by sequence, none at all.
- `unfinished`:      of each row, the last message is its last committed state, or its delete.
- `wrong_replica`:   who applies by lookup, partition by partition, ends with the table as it is.

Two keys of one row are two lanes, and perhaps two partitions: across keys a row's order is that of its sequence.

`strict=False` is for relays that were frozen with a send in hand: what they append late carries a lower sequence, so a
consumer refuses it. The rules then judge what such a consumer passes on; the sequences are held to the rule as always.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

Item = TypeVar("Item")
LINES_A_REPORT = 40


@dataclass(frozen=True, kw_only=True)
class Change:
    """
    One write of one row in a committed transaction.

    number: The place among the writes of this row; drawn under the row's lock.
    before: The row's key before the write; None: it was not there.
    after:  Its key after it; None: it is gone.
    state:  `canonical` of what the row holds after it; None: it is gone.
    """

    number: int
    row: str
    transaction: int
    before: str | None
    after: str | None
    state: str | None


@dataclass(frozen=True, kw_only=True)
class Version:
    """What one transaction left of a row: the only states that anybody may see."""

    number: int
    key: str | None
    state: str | None
    keys: frozenset[str]
    """Every key the row had until here, the transaction's own intermediate ones included."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A message on the log. `state` None: a delete or retraction."""

    partition: str
    offset: int
    key: str
    row: str
    sequence: int
    operation: str
    state: str | None

    def __str__(self) -> str:
        what = self.operation if self.state is None else f"{self.operation} {self.state}"
        return f"[{self.partition}@{self.offset} seq {self.sequence} key {self.key}: {what}]"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One broken promise."""

    rule: str
    row: str
    detail: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.row}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rules found, and how much they looked at."""

    violations: Sequence[Violation]
    rows: int
    versions: int
    entries: int
    stale: Sequence[Entry] = field(default=())
    """What was appended late, with a lower sequence than one before it."""

    repeated: int = 0
    """How many messages told a state that one before had told: what a backfill or a second try sends."""

    @property
    def holds(self) -> bool:
        """Tell whether every promise held."""
        return not self.violations

    @property
    def rules(self) -> frozenset[str]:
        """Return which rules were broken."""
        return frozenset(violation.rule for violation in self.violations)

    def report(self, title: str = "") -> str:
        """Return what a person needs to find out what happened."""
        seen = f"{self.rows} rows, {self.versions} committed states, {self.entries} messages, {len(self.stale)} stale"
        lines = [str(violation) for violation in self.violations[:LINES_A_REPORT]]
        return "\n".join([f"{title} {len(self.violations)} broken promises in {seen}.", *lines])


def canonical(state: Mapping[str, Any]) -> str:
    """Return a state as a text that is equal where the state is."""
    return json.dumps(state, sort_keys=True, ensure_ascii=False)


def judge(changes: Iterable[Change], entries: Iterable[Entry], *, strict: bool = True) -> Verdict:
    """Hold a log against the history that it has to tell."""
    history, log = History(changes), list(entries)
    seen = log if strict else refuse_stale(log)
    violations = [
        *never_committed(history, log),
        *out_of_order(history, log, seen),
        *unfinished(history, seen),
        *wrong_replica(history, seen),
    ]
    return Verdict(
        violations=violations,
        rows=len(history.of_row),
        versions=sum(map(len, history.of_row.values())),
        entries=len(log),
        stale=stale_in(log),
        repeated=len(log) - len({(entry.row, entry.key, entry.state) for entry in log}),
    )


# --- what there is to judge -------------------------------------------------------------------------------------------


class History:
    """What each row was, transaction by transaction."""

    def __init__(self, changes: Iterable[Change]) -> None:
        in_order = sorted(changes, key=lambda change: change.number)
        self.of_row = {row: _versions(of_row) for row, of_row in grouped(in_order, lambda c: c.row).items()}
        self._place = {
            (row, version.key, version.state): place
            for row, versions in self.of_row.items()
            for place, version in enumerate(versions)
        }

    def places_of(self, entry: Entry) -> list[int]:
        """Return which versions of its row a message can be about: its very state, or all without its key."""
        if entry.state is not None:
            place = self._place.get((entry.row, entry.key, entry.state))
            return [] if place is None else [place]
        versions = self.of_row.get(entry.row, ())
        return [place for place, v in enumerate(versions) if entry.key in v.keys and entry.key != v.key]

    @cached_property
    def final(self) -> dict[str, Version]:
        """Return each row's last version."""
        return {row: versions[-1] for row, versions in self.of_row.items()}


def _versions(changes: Sequence[Change]) -> list[Version]:
    """Return a row's committed states: of one transaction's writes, the last one."""
    keys: frozenset[str] = frozenset()
    of_transaction: dict[int, Version] = {}
    for change in changes:
        keys |= {key for key in (change.before, change.after) if key is not None}
        version = Version(number=change.number, key=change.after, state=change.state, keys=keys)
        of_transaction[change.transaction] = version
    return list(of_transaction.values())


def stale_in(entries: Sequence[Entry]) -> list[Entry]:
    """Return what was appended behind a message of the same row and key with a higher sequence."""
    passed = {id(entry) for entry in refuse_stale(entries)}
    return [entry for entry in entries if id(entry) not in passed]


def refuse_stale(entries: Sequence[Entry]) -> list[Entry]:
    """Return what a consumer that goes by the sequence passes on."""
    highest: dict[tuple[str, str], int] = {}
    passed = []
    for entry in entries:
        if entry.sequence >= highest.get((entry.row, entry.key), 0):
            highest[entry.row, entry.key] = entry.sequence
            passed.append(entry)
    return passed


# --- the rules --------------------------------------------------------------------------------------------------------


def never_committed(history: History, entries: Sequence[Entry]) -> Iterator[Violation]:
    """Find messages that no committed state accounts for."""
    for entry in entries:
        if not history.places_of(entry):
            yield Violation(rule="never_committed", row=entry.row, key=entry.key, detail=str(entry))


def out_of_order(history: History, entries: Sequence[Entry], seen: Sequence[Entry]) -> Iterator[Violation]:
    """Find messages that are older than one before them: of a row and key on the log, of a row by sequence."""
    for of_key in grouped(seen, lambda entry: (entry.row, entry.key)).values():
        yield from _backward("out_of_order", history, of_key)
    in_sequence = sorted(entries, key=lambda entry: entry.sequence)
    for of_key in grouped(in_sequence, lambda entry: (entry.row, entry.key)).values():
        yield from _backward("sequence_out_of_order", history, of_key)
    upserts = [entry for entry in in_sequence if entry.state is not None]
    for of_row in grouped(upserts, lambda entry: entry.row).values():
        yield from _backward("sequence_out_of_order", history, of_row)


def unfinished(history: History, seen: Sequence[Entry]) -> Iterator[Violation]:
    """Find rows whose last message is not their last committed state."""
    last = {(entry.row, entry.key): entry for entry in seen}
    for row, final in history.final.items():
        if final.key is not None:
            yield from _unfinished_state(row, final, last.get((row, final.key)))
    # A key that another row has taken since needs no retraction: that row's message stands in its place.
    for entry in {entry.key: entry for entry in seen}.values():
        left = history.final.get(entry.row)
        if entry.state is not None and left is not None and left.key != entry.key:
            detail = f"last is {entry}, committed is {_named(left)}"
            yield Violation(rule="not_retracted", row=entry.row, key=entry.key, detail=detail)


def _unfinished_state(row: str, final: Version, found: Entry | None) -> Iterator[Violation]:
    if found is None:
        yield Violation(rule="missing", row=row, key=final.key or "", detail=f"nothing tells {_named(final)}")
    elif found.state != final.state:
        yield Violation(
            rule="unfinished", row=row, key=final.key or "", detail=f"last is {found}, committed is {_named(final)}"
        )


def wrong_replica(history: History, seen: Sequence[Entry]) -> Iterator[Violation]:
    """Apply the log as a consumer does that looks rows up by key, and compare."""
    table = {version.key: (row, version.state) for row, version in history.final.items() if version.key is not None}
    replica: dict[str, tuple[str, str | None]] = {}
    for entry in seen:
        if entry.state is None:
            replica.pop(entry.key, None)
        else:
            replica[entry.key] = (entry.row, entry.state)
    for key in sorted(table.keys() | replica.keys()):
        if (wanted := table.get(key)) != (found := replica.get(key)):
            row = (wanted or found or ("?",))[0]
            yield Violation(
                rule="wrong_replica", row=row, key=key, detail=f"key {key} is {found}, the table has {wanted}"
            )


def _backward(rule: str, history: History, entries: Sequence[Entry]) -> Iterator[Violation]:
    """Read entries of one row in this order, each as the earliest version that it can be: that one never goes back."""
    reached = 0
    for place, entry in enumerate(entries):
        told = history.places_of(entry)
        later = [index for index in told if index >= reached]
        if later:
            reached = later[0]
        elif told:
            version = history.of_row[entry.row][reached]
            behind = f"{entry} comes behind {entries[place - 1]}, which tells {_named(version)} or later"
            yield Violation(rule=rule, row=entry.row, key=entry.key, detail=behind)


def _named(version: Version) -> str:
    return f"#{version.number} " + (version.state if version.state is not None else "gone")


def grouped(items: Iterable[Item], by: Callable[[Item], Hashable]) -> dict[Any, list[Item]]:
    """Return the items in groups, each in the order given."""
    groups: dict[Any, list[Item]] = defaultdict(list)
    for item in items:
        groups[by(item)].append(item)
    return groups
