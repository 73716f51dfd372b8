"""How much waits: exact where it is little, an honest estimate at one price where it is much."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logpipe_signals import monitoring
from logpipe_signals.models import OutboxRow
from logpipe_signals.monitoring import depth
from tests.unit.monitoring.conftest import PEOPLE, fill

pytestmark = pytest.mark.django_db


def depth_of(publication: str) -> monitoring.OutboxDepth:
    return next(each for each in monitoring.outbox() if each.publication == publication)


def age(seconds: float, **lookup: object) -> None:
    OutboxRow.objects.filter(**lookup).update(created_at=timezone.now() - timedelta(seconds=seconds))


def test_a_small_outbox_is_counted_exactly_by_publication() -> None:
    fill(3)
    fill(2, publication="people.person:people", priority=1)
    fill(1, publication="gone.model:old")
    people, gone = depth_of(PEOPLE), depth_of("gone.model:old")
    assert (people.rows, people.backfill_rows, people.topic, people.is_exact) == (5, 2, "people", True)
    assert (gone.rows, gone.topic) == (1, "")


def test_a_publication_of_which_nothing_waits_is_there_with_zeros() -> None:
    people = depth_of(PEOPLE)
    assert (people.rows, people.oldest_seconds) == (0, None)


def test_rows_that_wait_for_another_try_are_told_apart() -> None:
    fill(2)
    OutboxRow.objects.filter(object_id="1").update(retry_at=timezone.now() + timedelta(hours=1))
    assert depth_of(PEOPLE).retrying_rows == 1


def test_the_oldest_change_is_a_live_one() -> None:
    fill(2)
    fill(1, priority=1)
    age(9000, priority=1)
    age(60, object_id="1", priority=0)
    assert depth_of(PEOPLE).oldest_seconds == pytest.approx(60, abs=10)
    assert monitoring.oldest_seconds() == pytest.approx(60, abs=10)


def test_nothing_waits_and_nothing_is_old() -> None:
    assert monitoring.oldest_seconds() is None


def test_a_deep_outbox_is_estimated_within_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "EXACT_UP_TO", 500)
    monkeypatch.setattr(depth, "ROWS_A_STRIPE", 25)
    fill(6000)
    fill(2000, publication="other.model:others")
    OutboxRow.objects.filter(object_id__endswith="7").delete()  # holes, as a relay leaves them
    truth = {name: OutboxRow.objects.filter(publication=name).count() for name in (PEOPLE, "other.model:others")}
    for name, rows in truth.items():
        found = depth_of(name)
        assert not found.is_exact
        assert found.rows == pytest.approx(rows, rel=0.1)


def test_a_deep_outbox_still_knows_its_oldest_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "EXACT_UP_TO", 100)
    monkeypatch.setattr(depth, "ROWS_A_STRIPE", 5)
    fill(900, priority=1)
    fill(8)
    fill(900, priority=1)
    age(600, object_id="3", priority=0)
    assert depth_of(PEOPLE).oldest_seconds == pytest.approx(600, abs=10)


def test_the_price_does_not_grow_with_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "EXACT_UP_TO", 100)
    fill(1000)
    with CaptureQueriesContext(connection) as few:
        monitoring.outbox()
    fill(9000)
    with CaptureQueriesContext(connection) as many:
        monitoring.outbox()
    assert len(many) <= max(len(few), depth.STRIPES + 5)
    assert all("LIMIT" in query["sql"].upper() or "MIN(" in query["sql"].upper() for query in many.captured_queries)
