"""Jobs are rows: started, paused, resumed and cancelled by whoever reaches the database."""

from __future__ import annotations

import pytest

from logpipe_signals.exceptions import BackfillError, DeclarationError
from logpipe_signals.models import Backfill, BackfillKey
from logpipe_signals.models.backfills import BackfillOf, BackfillState
from logpipe_signals.publishing import backfills
from testproject.people.models import Person

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]

PEOPLE = "people.person:people"
CITIES = "places.city:cities"


def test_a_job_waits_for_a_runner_and_remembers_what_it_was_asked() -> None:
    job = backfills.start(CITIES, where={"country": "DE"}, versions=[1], rate=50, chunk_rows=7, requested_by="ann")

    stored = Backfill.objects.get(pk=job.pk)
    assert stored.state == BackfillState.WAITING
    assert (stored.where, stored.versions, stored.rate, stored.chunk_rows) == ({"country": "DE"}, [1], 50.0, 7)
    assert (stored.requested_by, stored.using) == ("ann", "default")
    assert backfills.runner_of(job) == ""


def test_a_job_of_an_owner_is_nobody_elses() -> None:
    assert backfills.runner_of(backfills.start(PEOPLE, owner="me")) == "me"


def test_a_paused_job_is_resumed() -> None:
    job = backfills.start(PEOPLE)
    backfills.pause(job)
    assert job.state == BackfillState.PAUSED
    backfills.resume(job)
    assert job.state == BackfillState.WAITING


def test_a_cancelled_job_has_ended_and_keeps_no_list() -> None:
    job = backfills.start(PEOPLE, rows_of=BackfillOf.PRIMARY_KEYS, listed=[backfills.Listed("1")])
    backfills.cancel(job)
    assert (job.state, job.is_finished) == (BackfillState.CANCELLED, True)
    assert not BackfillKey.objects.exists()


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (BackfillState.DONE, "pause"),
        (BackfillState.PAUSED, "pause"),
        (BackfillState.RUNNING, "resume"),
        (BackfillState.CANCELLED, "resume"),
        (BackfillState.DONE, "cancel"),
    ],
)
def test_a_state_that_does_not_allow_it_is_told(state: BackfillState, verb: str) -> None:
    job = backfills.start(PEOPLE)
    Backfill.objects.update(state=state)
    with pytest.raises(BackfillError, match=rf"Backfill {job.pk} is {state.label}: it cannot be"):
        getattr(backfills, verb)(job)
    assert job.state == state


def test_an_unknown_publication_is_told_what_is_meant() -> None:
    with pytest.raises(DeclarationError, match=r"of this release\. Did you mean 'people\.person:people'"):
        backfills.start("people.person:poeple")


def test_an_unknown_version_is_told_which_there_are() -> None:
    with pytest.raises(BackfillError, match=r"zoo\.visit:visits has no version 3\. There are: 1, 2\."):
        backfills.start("zoo.visit:visits", versions=[3])


@pytest.mark.parametrize(("rate", "chunk_rows"), [(0, 1000), (-1, 1000), (None, 0), (None, 10_001)])
def test_a_pace_that_cannot_be_kept_is_refused(rate: float | None, chunk_rows: int) -> None:
    with pytest.raises(BackfillError, match="Give"):
        backfills.start(PEOPLE, rate=rate, chunk_rows=chunk_rows)


def test_what_the_database_cannot_be_asked_starts_nothing() -> None:
    with pytest.raises(BackfillError, match=r"population='many'"):
        backfills.start(CITIES, where={"population": "many"})
    assert not Backfill.objects.exists()


def test_a_job_is_found_by_its_number() -> None:
    job = backfills.start(PEOPLE)
    assert backfills.find(job.pk) == job
    with pytest.raises(BackfillError, match=rf"no backfill {job.pk + 1}"):
        backfills.find(job.pk + 1)


def test_a_number_of_two_databases_has_to_be_told_apart() -> None:
    job = backfills.start(PEOPLE)
    Backfill.objects.using("subscriber").create(pk=job.pk, publication=PEOPLE)
    with pytest.raises(BackfillError, match="default, subscriber"):
        backfills.find(job.pk)
    assert backfills.find(job.pk, "subscriber").using == "subscriber"


def test_a_plan_counts_and_changes_nothing() -> None:
    Person.objects.bulk_create([Person(first_name="p", last_name="x") for _ in range(5)])
    plan = backfills.plan(backfills.target(PEOPLE), chunk_rows=2, rate=10)
    assert (plan.rows, plan.chunks, plan.seconds, plan.is_measured) == (5, 3, 0.5, False)
    assert not Backfill.objects.exists()


def test_a_plan_goes_by_what_the_last_job_measured() -> None:
    Person.objects.bulk_create([Person(first_name="p", last_name="x") for _ in range(5)])
    Backfill.objects.create(publication=PEOPLE, state=BackfillState.DONE, rows_done=100, seconds_run=50)
    plan = backfills.plan(backfills.target(PEOPLE))
    assert (plan.rows_per_second, plan.seconds, plan.is_measured) == (2.0, 2.5, True)
