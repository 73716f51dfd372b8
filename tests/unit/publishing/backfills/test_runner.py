"""A runner writes chunk after chunk under a lease; who pauses, cancels, kills or doubles it changes nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logpipe_signals.backend import clock
from logpipe_signals.models import Backfill, BackfillKey, Lease, OutboxRow
from logpipe_signals.models.backfills import BackfillOf, BackfillState
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import chunks
from logpipe_signals.publishing.backfills import runner as running
from logpipe_signals.publishing.backfills.chunks import pk_as_text
from logpipe_signals.publishing.backfills.gate import Gate
from logpipe_signals.publishing.backfills.runner import Runner
from testproject.people.models import Person
from testproject.places.models import Country
from tests.conftest import ChangeSettings
from tests.unit.publishing.backfills.conftest import PEOPLE, MakePeople, stored
from tests.zoo.models import Seat, TextKeyed

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOK_SECONDS", 0)


@pytest.fixture
def clock_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets time pass."""
    now = [1000.0]
    monkeypatch.setattr(clock, "seconds", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


def started(**options: Any) -> Backfill:
    return backfills.start(PEOPLE, **{"chunk_rows": 2, **options})


def run_out(job: Backfill) -> None:
    """Let the job's lease run out, as its runner's death does."""
    expired = timezone.now() - timedelta(seconds=1)
    Lease.objects.of_kind(LeaseKind.BACKFILL).filter(name=str(job.pk)).update(expires_at=expired)


def outbox_ids() -> list[str]:
    return list(OutboxRow.objects.order_by("id").values_list("object_id", flat=True))


def ids_of(people: list[Person]) -> list[str]:
    return [str(person.pk) for person in people]


# --- a job's life -----------------------------------------------------------------------------------------------------


def test_a_job_is_done_when_its_rows_have_left_the_outbox(make_people: MakePeople) -> None:
    people = make_people(3)
    job, runner = started(), Runner("default")

    assert [taken.pk for taken in runner.take()] == [job.pk]
    assert [runner.step(), runner.step(), runner.step()] == [2, 1, 0]
    assert outbox_ids() == ids_of(people)
    assert (stored(job).state, stored(job).rows_done, stored(job).rows_total) == (BackfillState.RUNNING, 3, 3)

    OutboxRow.objects.all().delete()
    runner.step()
    assert (stored(job).state, stored(job).chunks_done) == (BackfillState.DONE, 2)
    assert stored(job).finished_at is not None
    assert not Lease.objects.of_kind(LeaseKind.BACKFILL).exists()


def test_of_an_empty_table_a_job_is_done_at_once() -> None:
    job, runner = started(), Runner("default")
    runner.take()
    runner.step(), runner.step()
    assert (stored(job).state, stored(job).rows_total) == (BackfillState.DONE, 0)


def test_a_chunk_is_a_constant_number_of_statements(make_people: MakePeople) -> None:
    make_people(40)
    runner = Runner("default")
    started(chunk_rows=20)
    runner.take()
    with CaptureQueriesContext(connection) as queries:
        runner.step()
    kinds = [query["sql"].split()[0] for query in queries]
    # Leases twice, the job's state, room in the outbox, which keys; then in one transaction: guard, rows, how far.
    assert [kind for kind in kinds if kind not in ("SAVEPOINT", "RELEASE", "BEGIN", "NOTIFY")] == [
        *("UPDATE", "SELECT", "SELECT", "SELECT", "SELECT"),
        *("UPDATE", "INSERT", "UPDATE"),
    ]


def test_several_jobs_go_on_in_turns(make_people: MakePeople) -> None:
    make_people(4)
    Country.objects.bulk_create([Country(code=code, name=code) for code in ("AA", "BB", "CC", "DD")])
    OutboxRow.objects.all().delete()
    started(), backfills.start("places.country:countries", chunk_rows=2)
    runner = Runner("default")
    runner.take()

    runner.step()

    names = list(OutboxRow.objects.order_by("id").values_list("publication", flat=True))
    assert names == [PEOPLE] * 2 + ["places.country:countries"] * 2


def test_a_job_that_nobody_knows_the_publication_of_waits_for_another_release(make_people: MakePeople) -> None:
    job = Backfill.objects.create(publication="people.person:tomorrow")
    runner = Runner("default")
    assert runner.take() == []
    assert stored(job).state == BackfillState.WAITING
    assert not backfills.progress(job).is_known


def test_what_the_projects_code_raises_fails_the_job_and_no_other(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(1)
    job, other = backfills.start("zoo.seat:seats"), started()
    Seat.objects.create(show=TextKeyed.objects.create(word="Hamlet"), number=1)
    OutboxRow.objects.all().delete()
    monkeypatch.setattr(chunks, "_write_one_by_one", lambda *_: {}["gone"])
    runner = Runner("default")
    runner.take()

    assert runner.step() == 1

    assert (stored(job).state, stored(job).error) == (BackfillState.FAILED, "KeyError: 'gone'")
    assert (stored(other).state, stored(other).rows_done) == (BackfillState.RUNNING, 1)
    backfills.resume(job)
    assert (job.state, job.error) == (BackfillState.WAITING, "")


def test_a_lookup_that_is_no_more_fails_the_job() -> None:
    job = Backfill.objects.create(publication=PEOPLE, where={"nickname": "Joe"})
    assert Runner("default").take() == []
    assert stored(job).state == BackfillState.FAILED
    assert "nickname" in stored(job).error


def test_a_database_that_is_away_loses_nothing(make_people: MakePeople, monkeypatch: pytest.MonkeyPatch) -> None:
    people = make_people(2)
    job, runner = started(), Runner("default")
    runner.take()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "_insert_select", lambda *_: _raise(OperationalError("gone")))
        with pytest.raises(OperationalError):
            runner.step()
    assert stored(job).last_key is None

    runner.step()
    assert outbox_ids() == ids_of(people)


# --- told from elsewhere ----------------------------------------------------------------------------------------------


def test_a_job_paused_from_elsewhere_stops_and_goes_on_where_it_stopped(make_people: MakePeople) -> None:
    people = make_people(5)
    job, runner = started(), Runner("default")
    runner.take()
    runner.step()

    backfills.pause(stored(job))
    assert runner.step() == 0
    assert runner.jobs == []

    backfills.resume(stored(job))
    another = Runner("default")
    assert another.take()
    another.step(), another.step()
    assert outbox_ids() == ids_of(people)


def test_a_pause_between_looking_and_writing_writes_nothing(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(2)
    job, runner = started(), Runner("default")
    runner.take()
    next_chunk = running.next_chunk

    def paused_meanwhile(*arguments: Any) -> Any:
        chunk = next_chunk(*arguments)
        backfills.pause(stored(job))
        return chunk

    monkeypatch.setattr(running, "next_chunk", paused_meanwhile)
    assert runner.step() == 0
    assert outbox_ids() == []


def test_a_cancelled_job_ends(make_people: MakePeople) -> None:
    make_people(5)
    job, runner = started(), Runner("default")
    runner.take()
    runner.step()
    backfills.cancel(stored(job))
    runner.step()
    assert (len(outbox_ids()), runner.jobs, stored(job).state) == (2, [], BackfillState.CANCELLED)


# --- leases -----------------------------------------------------------------------------------------------------------


def test_a_job_has_one_runner() -> None:
    started()
    first, second = Runner("default"), Runner("default")
    assert first.take()
    assert second.take() == []


def test_a_dead_runners_job_is_taken_over_behind_its_last_chunk(make_people: MakePeople) -> None:
    people = make_people(4)
    job, dead = started(), Runner("default")
    dead.take()
    dead.step()
    run_out(job)

    heir = Runner("default")
    assert heir.take()
    heir.step()

    assert outbox_ids() == ids_of(people)


def test_a_runner_that_lost_its_lease_writes_nothing(make_people: MakePeople) -> None:
    people = make_people(4)
    job, late = started(), Runner("default")
    late.take()
    late.step()
    run_out(job)
    heir = Runner("default")
    heir.take()

    run = late._runs[job.pk]
    late._advance(run)  # Past its own look at the lease: frozen between that and the write.
    assert late.jobs == []

    heir.step()
    assert outbox_ids() == ids_of(people)


def test_a_runner_that_stops_leaves_its_jobs_at_once(make_people: MakePeople) -> None:
    make_people(4)
    job, runner = started(), Runner("default")
    runner.take()
    runner.step()
    runner.stop()
    assert (stored(job).state, backfills.runner_of(job)) == (BackfillState.WAITING, "")
    assert Runner("default").take()


# --- how much at a time -----------------------------------------------------------------------------------------------


def test_no_more_wait_in_the_outbox_than_it_bears_and_half_of_them_leave_first(
    make_people: MakePeople, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(BACKFILL_OUTBOX_ROWS=6)
    make_people(20)
    runner = Runner("default")
    started(chunk_rows=4)
    runner.take()

    assert [runner.step() for _ in range(3)] == [4, 2, 0]
    _relay(2)
    assert runner.step() == 0, "more than half of them wait"
    _relay(1)
    assert runner.step() == 3


def test_two_jobs_share_what_the_outbox_bears(make_people: MakePeople, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(BACKFILL_OUTBOX_ROWS=6)
    make_people(20)
    runner = Runner("default")
    started(chunk_rows=4), started(chunk_rows=4)
    runner.take()
    assert [runner.step() for _ in range(3)] == [6, 0, 0]


@pytest.mark.usefixtures("people_by_changes")
def test_of_changes_no_more_wait_than_a_batch_of_the_relays(
    make_people: MakePeople, logpipe_settings: ChangeSettings
) -> None:
    """Nothing overtakes there: a live change waits behind all of them."""
    logpipe_settings(RELAY_BATCH_SIZE=5)
    make_people(20)
    OutboxRow.objects.all().delete()
    Person.objects.create(first_name="live", last_name="x")
    assert Gate(backfills.target(PEOPLE)).room() == 4


def test_a_rate_spreads_the_rows(make_people: MakePeople, clock_seconds: Callable[[float], None]) -> None:
    make_people(20)
    runner = Runner("default")
    started(chunk_rows=10, rate=4)
    runner.take()
    assert [runner.step(), runner.step()] == [4, 0]
    clock_seconds(0.5)
    assert runner.step() == 0
    clock_seconds(0.5)
    assert runner.step() == 4


def test_slow_rows_make_smaller_chunks_and_longer_leases(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch, clock_seconds: Callable[[float], None]
) -> None:
    make_people(30)
    insert = chunks._insert_select
    monkeypatch.setattr(chunks, "_insert_select", lambda *a: (clock_seconds(10), insert(*a))[1])
    runner = Runner("default")
    started(chunk_rows=8)
    runner.take()
    assert [runner.step(), runner.step()] == [8, 4]
    assert runner._lease_seconds == 50


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_goes_in_its_order_and_is_forgotten_at_the_end(make_people: MakePeople) -> None:
    people = make_people(5)
    target = backfills.target(PEOPLE)
    listed = [backfills.Listed(pk_as_text(target, person.pk)) for person in (people[4], people[0], people[2])]
    job, runner = started(rows_of=BackfillOf.PRIMARY_KEYS, listed=listed), Runner("default")
    runner.take()
    assert stored(job).rows_total == 3
    runner.step(), runner.step()
    assert outbox_ids() == ids_of([people[0], people[4], people[2]]), "in key order within a chunk of two"
    OutboxRow.objects.all().delete()
    runner.step()
    assert stored(job).state == BackfillState.DONE
    assert not BackfillKey.objects.exists()


def _relay(rows: int) -> None:
    oldest = list(OutboxRow.objects.order_by("id").values_list("pk", flat=True)[:rows])
    OutboxRow.objects.filter(pk__in=oldest).delete()


def _raise(error: Exception) -> Any:
    raise error
