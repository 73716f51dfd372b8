"""Backfills are controlled by those who may, by POST alone, and each step leaves a trail."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from logpipe_signals.models import Backfill, TrailEntry
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing import backfills
from tests.unit.admin.conftest import Somebody, shown, url

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
PEOPLE = "people.person:people"


@pytest.fixture
def job(db: None) -> Backfill:
    return backfills.start(PEOPLE)


def address(page: str, *arguments: Any) -> str:
    return url(page, *arguments, model="backfill")


def state_of(job: Backfill) -> str:
    job.refresh_from_db()
    return job.state


def test_who_may_only_look_can_neither_start_nor_stop(somebody: Somebody, job: Backfill) -> None:
    client = somebody("view_backfill")
    for step in ("pause", "resume", "cancel"):
        assert client.post(address(step, job.pk)).status_code == 403
    assert client.post(address("start"), {"publication": PEOPLE, "start": "1"}).status_code == 403
    assert state_of(job) == BackfillState.WAITING
    assert Backfill.objects.count() == 1
    assert "Pause" not in shown(client, "change", job.pk, model="backfill")
    assert "Start a backfill" not in shown(client, "changelist", model="backfill")


@pytest.mark.parametrize("step", ["pause", "resume", "cancel"])
def test_a_step_is_taken_by_post_with_a_csrf_token_only(admin_user: Any, job: Backfill, step: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.get(address(step, job.pk)).status_code == 405
    assert client.post(address(step, job.pk)).status_code == 403
    assert state_of(job) == BackfillState.WAITING


def test_a_form_that_is_only_looked_at_starts_nothing(admin: Client) -> None:
    assert admin.get(address("start"), {"publication": PEOPLE, "start": "1"}).status_code == 200
    assert not Backfill.objects.exists()


def test_a_step_that_the_state_does_not_allow_says_so(admin: Client, job: Backfill) -> None:
    text = admin.post(address("resume", job.pk), follow=True).content.decode()
    assert "cannot be resumed" in text
    assert "cannot be resumed" in TrailEntry.objects.get().outcome


def test_a_job_is_started_with_lookups_and_a_rate(admin: Client) -> None:
    data = {"publication": PEOPLE, "where": "first_name=Joe\nlast_name__startswith=S", "rate": "50", "start": "1"}
    admin.post(address("start"), data)
    job = Backfill.objects.get()
    assert job.where == {"first_name": "Joe", "last_name__startswith": "S"}
    assert (job.rate, job.requested_by) == (50, "admin")
    assert TrailEntry.objects.get().action == "started"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"publication": "gone.model:gone"}, "Select a valid choice"),
        ({"publication": PEOPLE, "where": "no_such=1"}, "no_such"),
        ({"publication": PEOPLE, "where": "nonsense"}, "is no lookup"),
        ({"publication": PEOPLE, "rate": "-1"}, "greater than or equal"),
    ],
)
def test_what_is_wrong_with_a_form_is_said_and_nothing_starts(admin: Client, data: dict[str, str], said: str) -> None:
    assert said in admin.post(address("start"), {**data, "start": "1"}).content.decode()
    assert not Backfill.objects.exists()


def test_a_job_of_another_releases_publication_is_shown(admin: Client, job: Backfill) -> None:
    Backfill.objects.update(publication="gone.model:gone")
    assert "does not know gone.model:gone" in shown(admin, "change", job.pk, model="backfill")
    assert admin.get(url("changelist", model="overview")).status_code == 200
