"""A backfill is counted, started, paused, resumed and cancelled from its pages."""

from __future__ import annotations

from typing import Any

import pytest

from logpipe_signals.models import Backfill, TrailEntry
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def people(transactional_db: None) -> None:
    with suspend_publishing():
        Person.objects.bulk_create([Person(first_name=name, last_name="Schmoe") for name in ("Joe", "Jane", "Zoë")])


def state() -> str:
    return Backfill.objects.get().state


def steps() -> list[str]:
    return list(TrailEntry.objects.filter(target="backfill").order_by("pk").values_list("action", flat=True))


def test_a_backfill_is_started_paused_resumed_and_cancelled(open_page: Any, boss: Any, people: None) -> None:
    page = open_page(boss)
    page.goto("/admin/logpipe_signals/backfill/?database=default")
    page.get_by_role("link", name="Start a backfill").click()

    page.get_by_label("Publication").select_option("people.person:people")
    page.get_by_label("Where").fill("first_name__startswith=J")
    page.get_by_role("button", name="Only count").click()
    assert "2 rows" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("is started.").wait_for()
    job = Backfill.objects.get()
    assert (job.where, job.requested_by, job.state) == ({"first_name__startswith": "J"}, "ann", BackfillState.WAITING)

    page.get_by_role("button", name="Pause").click()
    page.get_by_text("it is paused.").wait_for()
    assert state() == BackfillState.PAUSED

    page.get_by_role("button", name="Resume").click()
    page.get_by_text("it is waiting.").wait_for()
    assert state() == BackfillState.WAITING

    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("it is cancelled.").wait_for()
    assert state() == BackfillState.CANCELLED
    assert page.get_by_role("button", name="Resume").count() == 0
    assert steps() == ["started", "paused", "resumed", "cancelled"]


def test_a_wrong_lookup_is_named_and_nothing_is_started(open_page: Any, boss: Any, people: None) -> None:
    page = open_page(boss)
    page.goto("/admin/logpipe_signals/backfill/start/")
    page.get_by_label("Publication").select_option("people.person:people")
    page.get_by_label("Where").fill("frist_name=Joe")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Please correct").wait_for()
    assert "first_name" in page.locator(".errorlist").inner_text()
    assert not Backfill.objects.exists()
