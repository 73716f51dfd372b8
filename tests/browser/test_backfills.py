"""A backfill is counted, started, paused, resumed and cancelled from its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logpipe_signals.models import Backfill, OutboxRow, TrailEntry
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def people(transactional_db: None) -> None:
    with suspend_publishing():
        Person.objects.bulk_create([Person(first_name=name, last_name="Schmoe") for name in ("Joe", "Jane", "Zoë")])


@pytest.fixture
def runner(transactional_db: None) -> Iterator[Runner]:
    """Return who writes chunks when the test says so."""
    runner = Runner("default", until_sent=False)
    yield runner
    runner.stop()


def state() -> str:
    return Backfill.objects.get().state


def steps() -> list[str]:
    return list(TrailEntry.objects.filter(target="backfill").order_by("pk").values_list("action", flat=True))


def test_a_backfill_is_counted_started_paused_resumed_and_seen_to_its_end(
    open_page: Any, boss: Any, people: None, runner: Runner
) -> None:
    page = open_page(boss)
    page.goto("/admin/logpipe_signals/backfill/?database=default")
    page.get_by_role("link", name="Start a backfill").click()

    page.get_by_label("Publication").select_option("people.person:people")
    page.get_by_label("Where").fill("last_name=Schmoe")
    page.get_by_role("button", name="Only count").click()
    assert "3 rows" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("is started.").wait_for()
    job = Backfill.objects.get()
    assert (job.where, job.requested_by, job.state) == ({"last_name": "Schmoe"}, "ann", BackfillState.WAITING)

    page.get_by_role("button", name="Pause").click()
    page.get_by_text("it is paused.").wait_for()
    assert runner.take() == []

    page.get_by_role("button", name="Resume").click()
    page.get_by_text("it is waiting.").wait_for()
    assert [taken.pk for taken in runner.take()] == [job.pk]
    while state() != BackfillState.DONE:
        runner.step()

    page.reload()
    assert "100 %" in page.locator(".logpipe-progress").inner_text()
    assert OutboxRow.objects.count() == 3
    assert page.get_by_role("button", name="Pause").count() == 0
    assert steps() == ["started", "paused", "resumed"]


def test_a_backfill_is_cancelled(open_page: Any, boss: Any, people: None, runner: Runner) -> None:
    job = backfills.start("people.person:people")
    page = open_page(boss)
    page.goto(f"/admin/logpipe_signals/backfill/{job.pk}/change/")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("it is cancelled.").wait_for()
    assert runner.take() == []
    assert page.get_by_role("button", name="Resume").count() == 0


def test_a_wrong_lookup_is_named_and_nothing_is_started(open_page: Any, boss: Any, people: None) -> None:
    page = open_page(boss)
    page.goto("/admin/logpipe_signals/backfill/start/")
    page.get_by_label("Publication").select_option("people.person:people")
    page.get_by_label("Where").fill("frist_name=Joe")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Please correct").wait_for()
    assert "first_name" in page.locator(".errorlist").inner_text()
    assert not Backfill.objects.exists()
