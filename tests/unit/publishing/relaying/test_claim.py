"""Claims: every ready row once, whatever the order of ids and commits."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import claim
from logpipe_signals.publishing.claim import Claims
from logpipe_signals.publishing.claimed import ClaimedRow

pytestmark = pytest.mark.django_db

PEOPLE = "people.person:people"


def rows(*lanes: int, **values: object) -> list[int]:
    made = [
        OutboxRow(publication=PEOPLE, object_id=str(n), key="k", lane=lane, **values) for n, lane in enumerate(lanes)
    ]
    return [row.pk for row in OutboxRow.objects.bulk_create(made)]


def ids(claimed: Iterable[ClaimedRow]) -> list[int]:
    return [row.id for row in claimed]


def test_a_row_in_flight_is_not_claimed_again() -> None:
    made = rows(0, 1, 2)
    claims = Claims("default")

    assert ids(claims.claim([0, 1, 2], limit=10)) == made
    claims.look_at_everything()
    assert claims.claim([0, 1, 2], limit=10) == []


def test_a_settled_row_that_is_still_there_is_claimed_again() -> None:
    made = rows(0)
    claims = Claims("default")
    claims.settled(ids(claims.claim([0], limit=10)))

    assert ids(claims.claim([0], limit=10)) == made


def test_a_row_committed_late_under_a_lower_id_is_found() -> None:
    low, *others = rows(0, 0, 0)
    held_back = OutboxRow.objects.get(pk=low)
    OutboxRow.objects.filter(pk=low).delete()
    claims = Claims("default")
    assert ids(claims.claim([0], limit=10)) == others

    held_back.save(force_insert=True)

    assert ids(claims.claim([0], limit=10)) == [low]


def test_a_row_committed_after_a_second_of_steady_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor may have passed it; the look from the start finds it."""
    now = 0.0
    monkeypatch.setattr(claim.clock, "seconds", lambda: now)
    low, *_ = rows(0, *[0] * 40)
    held_back = OutboxRow.objects.get(pk=low)
    OutboxRow.objects.filter(pk=low).delete()
    claims = Claims("default")
    for _ in range(4):
        claimed = ids(claims.claim([0], limit=10))
        OutboxRow.objects.filter(pk__in=claimed).delete()
        claims.settled(claimed)
        now += 1.5
    held_back.save(force_insert=True)

    now += claim.REWIND_SECONDS

    assert ids(claims.claim([0], limit=10)) == [low]


def test_only_the_lanes_asked_for_are_claimed() -> None:
    _, second, _ = rows(0, 1, 2)

    assert ids(Claims("default").claim([1], limit=10)) == [second]


def test_live_changes_overtake_a_backfill_and_do_not_wait_for_its_rows_of_their_batch() -> None:
    backfilled = rows(0, 0, priority=claim.BACKFILL)
    live = rows(0)
    claims = Claims("default")

    assert ids(claims.claim([0], limit=10)) == live
    assert ids(claims.claim([0], limit=10)) == backfilled


def test_a_backfill_goes_on_where_each_claim_finds_live_changes() -> None:
    backfilled = rows(0, priority=claim.BACKFILL)
    claims = Claims("default")

    first, second = rows(0), rows(0)
    assert ids(claims.claim([0], limit=1)) == first
    assert ids(claims.claim([0], limit=10)) == [*second, *backfilled]


def test_a_hot_lane_fills_a_batch_and_starves_no_other() -> None:
    hot = rows(*[0] * 300)
    cold = rows(1)
    claims = Claims("default")

    first = ids(claims.claim([0, 1], limit=100))
    second = ids(claims.claim([0, 1], limit=100))

    assert cold[0] in first + second
    assert len(set(first + second) & set(hot)) > 100


def test_a_row_that_waits_for_another_try_is_passed_over() -> None:
    rows(0, retry_at="2999-01-01T00:00:00Z")
    ready = rows(0)

    assert ids(Claims("default").claim([0], limit=10)) == ready


def test_claiming_takes_two_statements_at_most(django_assert_max_num_queries: object) -> None:
    rows(*range(8))

    with django_assert_max_num_queries(2):  # type: ignore[operator]
        Claims("default").claim(range(8), limit=10)
