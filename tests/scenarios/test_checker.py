"""The checker itself: it passes what is right, and names what is not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.scenarios.checker import Change, Entry, Verdict, canonical, judge
from tests.scenarios.each_change import judge_each
from tests.scenarios.shown import judge_shown

ROW = "person:1"


def wrote(
    number: int, state: str | None, *, key: str = "a", before: str | None = None, row: str = ROW, transaction: int = 0
) -> Change:
    """One write; each in a transaction of its own unless it says otherwise."""
    after = None if state is None else key
    return Change(number=number, row=row, transaction=transaction or number, before=before, after=after, state=state)


def sent(sequence: int, state: str | None, *, key: str = "a", offset: int | None = None, row: str = ROW) -> Entry:
    """One message."""
    return Entry(
        partition="0",
        offset=sequence if offset is None else offset,
        key=key,
        row=row,
        sequence=sequence,
        operation="delete" if state is None else "upsert",
        state=state,
    )


def rules_broken(changes: Sequence[Change], entries: Sequence[Entry], *, strict: bool = True) -> frozenset[str]:
    verdict: Verdict = judge(changes, entries, strict=strict)
    return verdict.rules


def test_checker_passes_a_log_that_tells_each_state_and_one_that_tells_the_last_only() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", before="a"), wrote(3, "z", before="a")]

    assert rules_broken(changes, [sent(1, "x"), sent(2, "y"), sent(3, "z")]) == set()
    assert rules_broken(changes, [sent(3, "z")]) == set()
    assert rules_broken(changes, [sent(3, "z"), sent(4, "z")]) == set()


def test_checker_finds_a_state_that_was_rolled_back() -> None:
    assert "never_committed" in rules_broken([wrote(1, "x")], [sent(1, "rolled back"), sent(2, "x")])


def test_checker_finds_a_state_that_its_transaction_went_on_to_change() -> None:
    changes = [wrote(1, "half", transaction=7), wrote(2, "whole", before="a", transaction=7)]

    assert "never_committed" in rules_broken(changes, [sent(1, "half"), sent(2, "whole")])


def test_checker_finds_an_older_state_behind_a_newer_one() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", before="a")]

    assert "out_of_order" in rules_broken(changes, [sent(2, "y", offset=1), sent(1, "x", offset=2), sent(3, "y")])


def test_checker_lets_a_late_message_pass_where_its_sequence_gives_it_away() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", before="a")]
    late = [sent(2, "y", offset=1), sent(1, "x", offset=2)]

    assert rules_broken(changes, late, strict=False) == set()
    assert "unfinished" in rules_broken(changes, late, strict=True)


def test_checker_finds_a_late_message_whose_sequence_pretends_to_be_newer() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", before="a")]

    assert "sequence_out_of_order" in rules_broken(changes, [sent(2, "y"), sent(3, "x"), sent(4, "y")], strict=False)


def test_checker_finds_what_is_missing() -> None:
    assert "missing" in rules_broken([wrote(1, "x")], [])
    assert "unfinished" in rules_broken([wrote(1, "x"), wrote(2, "y", before="a")], [sent(1, "x")])
    assert "not_retracted" in rules_broken([wrote(1, "x"), wrote(2, None, before="a")], [sent(1, "x")])


def test_checker_asks_for_nothing_of_a_row_that_no_message_ever_showed() -> None:
    assert rules_broken([wrote(1, "x"), wrote(2, None, before="a")], []) == set()
    changes = [wrote(1, "x", transaction=7), wrote(2, None, before="a", transaction=7)]

    assert rules_broken(changes, []) == set()
    assert rules_broken(changes, [sent(1, None)]) == set()


def test_checker_finds_a_delete_of_a_row_that_is_there() -> None:
    assert "never_committed" in rules_broken([wrote(1, "x")], [sent(1, "x"), sent(2, None)])
    back = [wrote(1, "x"), wrote(2, None, before="a"), wrote(3, "y")]
    assert "out_of_order" in rules_broken(back, [sent(1, "x"), sent(2, "y"), sent(3, None), sent(4, "y")])


def test_checker_asks_that_an_old_key_is_retracted() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", key="b", before="a")]

    assert rules_broken(changes, [sent(1, "x"), sent(2, "y", key="b"), sent(3, None)]) == set()
    assert "not_retracted" in rules_broken(changes, [sent(1, "x"), sent(2, "y", key="b")])


def test_checker_takes_the_new_owner_of_a_key_for_the_retraction() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", key="b", before="a"), wrote(1, "other", row="person:2")]
    log = [sent(1, "x"), sent(2, "y", key="b"), sent(2, "other", row="person:2")]

    assert rules_broken(changes, log) == set()
    changes.append(wrote(2, None, before="a", row="person:2"))
    assert rules_broken(changes, [*log, sent(3, None, row="person:2")]) == set()
    assert "not_retracted" in rules_broken(changes, log)


def test_checker_finds_a_retraction_that_hits_the_new_owner() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", key="b", before="a"), wrote(1, "other", row="person:2")]
    log = [sent(1, "x"), sent(2, "y", key="b"), sent(2, "other", row="person:2"), sent(3, None)]

    assert rules_broken(changes, log) == {"wrong_replica"}


@given(states=st.integers(2, 12), seed=st.integers(0, 2**32))
def test_checker_passes_every_log_that_skips_and_repeats_and_no_log_that_ends_early(states: int, seed: int) -> None:
    chance = random.Random(seed)
    changes = [wrote(n, f"s{n}", before="a" if n > 1 else None) for n in range(1, states + 1)]
    told = [*sorted(chance.choices(range(1, states), k=states)), states]
    log = [sent(place, f"s{n}") for place, n in enumerate(told, start=1)]

    assert rules_broken(changes, log) == set()
    assert "unfinished" in rules_broken(changes, log[:-1])


@given(states=st.integers(3, 12), seed=st.integers(0, 2**32))
def test_checker_finds_any_two_messages_that_changed_places(states: int, seed: int) -> None:
    changes = [wrote(n, f"s{n}", before="a" if n > 1 else None) for n in range(1, states + 1)]
    log = [sent(n, f"s{n}") for n in range(1, states + 1)]
    first, second = sorted(random.Random(seed).sample(range(states), 2))
    log[first], log[second] = log[second], log[first]

    assert rules_broken(changes, log) & {"out_of_order", "unfinished"}


# --- each change a message --------------------------------------------------------------------------------------------


def test_checker_of_changes_passes_every_write_in_order_and_copies_side_by_side() -> None:
    changes = [wrote(1, "x", transaction=7), wrote(2, "y", before="a", transaction=7), wrote(3, None, before="a")]

    assert judge_each(changes, [sent(1, "x"), sent(2, "y"), sent(3, None)]) == []
    assert judge_each(changes, [sent(1, "x"), sent(2, "x"), sent(3, "y"), sent(4, None), sent(5, None)]) == []


@given(states=st.integers(2, 12), seed=st.integers(0, 2**32))
def test_checker_of_changes_finds_one_that_is_missing_or_came_early(states: int, seed: int) -> None:
    chance = random.Random(seed)
    changes = [wrote(n, f"s{n}", before="a" if n > 1 else None) for n in range(1, states + 1)]
    log = [sent(n, f"s{n}") for n in range(1, states + 1)]
    place = chance.randrange(states)
    first, second = sorted(chance.sample(range(states), 2))
    early = [*log[:first], log[second], *log[first:]]

    assert judge_each(changes, log) == []
    assert judge_each(changes, log[:place] + log[place + 1 :])
    assert judge_each(changes, early)


def test_checker_of_changes_asks_that_a_row_waits_behind_what_cannot_be_told() -> None:
    changes = [wrote(1, "x"), wrote(2, "poison", before="a"), wrote(3, "y", before="a")]

    def is_poison(state: str) -> bool:
        return state == "poison"

    assert judge_each(changes, [sent(1, "x")], waiting={ROW: 1}, untold=is_poison) == []
    assert judge_each(changes, [sent(1, "x"), sent(2, "y")], untold=is_poison) == []
    assert judge_each(changes, [sent(1, "x"), sent(2, "y")], waiting={ROW: 1}, untold=is_poison)
    assert judge_each(changes, [sent(1, "x")], untold=is_poison)


def test_checker_of_changes_refuses_what_came_late_by_its_sequence() -> None:
    changes = [wrote(1, "x"), wrote(2, "y", before="a")]
    late = [sent(2, "x", offset=1), sent(3, "y", offset=2), sent(1, "x", offset=3)]

    assert judge_each(changes, late, strict=False) == []
    assert judge_each(changes, late, strict=True)


# --- what a row shows -------------------------------------------------------------------------------------------------

SHELF = "shelf:3"


def named(number: int, name: str) -> Change:
    return wrote(number, canonical({"name": name}), key="3", before="3" if number > 1 else None, row=SHELF)


def shows(sequence: int, name: str) -> Entry:
    return sent(sequence, canonical({"shelf": name}), row="book:5")


def broken(entries: Sequence[Entry], *, last: str) -> set[str]:
    parts = [named(1, "old"), named(2, "new")]
    found = judge_shown(
        parts, entries, lambda body: {SHELF: canonical({"name": body["shelf"]})}, {"book:5": {"shelf": last}}
    )
    return {violation.rule for violation in found}


def test_checker_of_what_is_shown_passes_what_was_committed_in_order_and_is_true_at_last() -> None:
    assert broken([shows(1, "old"), shows(2, "old"), shows(3, "new")], last="new") == set()


def test_checker_of_what_is_shown_finds_what_was_undone_went_back_or_stayed_old() -> None:
    assert broken([shows(1, "undone"), shows(2, "new")], last="new") == {"never_committed"}
    assert "out_of_order" in broken([shows(1, "new"), shows(2, "old"), shows(3, "new")], last="new")
    assert broken([shows(1, "old")], last="new") == {"shows_old"}
    assert broken([], last="new") == {"shows_old"}
