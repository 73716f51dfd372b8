"""republish_all: what a person types, and what is said in return."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals.backend import dummy
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected
from logpipe_signals.models import Backfill, BackfillKey, OutboxRow
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills import foreground
from logpipe_signals.publishing.backfills.runner import Runner
from logpipe_signals.publishing.suspend import suspend_publishing
from testproject.people.models import Person
from testproject.places.models import City, Country
from tests.conftest import ChangeSettings
from tests.unit.publishing.backfills.conftest import PEOPLE, MakePeople, names_sent, sent, stored
from tests.zoo.models import Animal, Visit

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("in_memory")]


def republish_all(*arguments: str) -> str:
    out = StringIO()
    call_command("republish_all", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def told(*arguments: str) -> str:
    """Return what went to stderr."""
    err = StringIO()
    call_command("republish_all", *arguments, stdout=StringIO(), stderr=err)
    return err.getvalue()


# --- which rows -------------------------------------------------------------------------------------------------------


def test_each_row_is_sent_once_and_the_end_is_reported(make_people: MakePeople) -> None:
    make_people(25)
    said = republish_all("people", "--chunk-size=10")
    assert f"{PEOPLE} on 'default': 25 rows sent in " in said
    assert sorted(names_sent()) == sorted(f"p{n}" for n in range(25))
    assert not OutboxRow.objects.exists()


def test_a_live_change_overtakes(make_people: MakePeople) -> None:
    make_people(25)
    republish_all("people", "--no-drain")
    Person.objects.create(first_name="live", last_name="x")
    republish_all("people")
    assert "live" in names_sent()[:10], "the first batch"


def test_a_row_that_went_meanwhile_is_passed_over(make_people: MakePeople) -> None:
    make_people(2)
    republish_all("people", "--no-drain")
    with suspend_publishing():
        Person.objects.filter(first_name="p0").delete()
    republish_all("people")
    assert set(names_sent()) == {"p1"}


@pytest.mark.parametrize(
    "arguments", [["--where", "first_name=p1"], ["--where", "first_name__in=p1,p2", "--where", "first_name__gt=p1"]]
)
def test_where_chooses(make_people: MakePeople, arguments: list[str]) -> None:
    make_people(3)
    assert "1 rows sent" in republish_all("people", *arguments)


def test_a_wrong_lookup_starts_nothing() -> None:
    with pytest.raises(CommandError, match=r"people\.Person has no field 'frist_name'\. Did you mean 'first_name'"):
        republish_all("people", "--where", "frist_name=Joe")
    assert not Backfill.objects.exists()


def test_a_since_without_a_field_needs_one_that_django_keeps() -> None:
    with pytest.raises(CommandError, match="Say which: --since FIELD=TIMESTAMP"):
        republish_all("people", "--since", "2026-01-31")


def test_one_version_alone_is_sent() -> None:
    with suspend_publishing():
        Visit.objects.create(guest="Guy")
    republish_all("zoo.visit:visits", "--version", "2")
    assert [body["version"] for body in sent("visits")] == [2]


def test_a_live_change_beside_it_is_sent_in_all_versions() -> None:
    with suspend_publishing():
        visit = Visit.objects.create(guest="Guy")
    republish_all("zoo.visit:visits", "--version", "2", "--no-drain")
    visit.guest = "Gal"
    visit.save()
    republish_all("zoo.visit:visits", "--where", "guest=nobody")
    assert sorted({body["version"] for body in sent("visits")}) == [1, 2]


def test_a_dead_letter_of_all_versions_stays_open_when_one_is_sent(make_people: MakePeople) -> None:
    from logpipe_signals.models import DeadLetter
    from logpipe_signals.models.dead_letters import DeadLetterState, Side

    with suspend_publishing():
        visit = Visit.objects.create(guest="Guy")
    letter = DeadLetter.objects.create(
        side=Side.PUBLISHER, topic="visits", publication="zoo.visit:visits", object_id=str(visit.pk), operation="upsert"
    )
    republish_all("zoo.visit:visits", "--version", "2")
    letter.refresh_from_db()
    assert letter.state == DeadLetterState.OPEN
    republish_all("zoo.visit:visits")
    letter.refresh_from_db()
    assert letter.state == DeadLetterState.SUPERSEDED


# --- lists ------------------------------------------------------------------------------------------------------------


def test_message_keys_choose_their_rows(make_people: MakePeople) -> None:
    people = make_people(4)
    republish_all("people", "--keys", f"{people[2].uuid},{people[0].uuid}")
    assert sorted(names_sent()) == ["p0", "p2"]


@pytest.mark.parametrize("stdin", [False, True])
def test_keys_come_from_a_file_or_from_standard_input(
    make_people: MakePeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: bool
) -> None:
    people = make_people(3)
    text = f"{people[1].uuid}\n\n{people[2].uuid}\r\n"
    (tmp_path / "keys").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    republish_all("people", "--keys", "-" if stdin else f"@{tmp_path / 'keys'}")
    assert sorted(names_sent()) == ["p1", "p2"]


def test_keys_without_a_row_are_named(make_people: MakePeople) -> None:
    (person,) = make_people(1)
    unknown = "00000000-0000-0000-0000-000000000000"
    assert f"1 of the keys have no row: {unknown}." in told("people", "--keys", f"{person.uuid},{unknown}")
    assert names_sent() == ["p0"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["people", "--keys", "abc"], r"Line 1: 'abc' is no value of people\.Person\.uuid"),
        (["people", "--keys", "@/nowhere"], r"'/nowhere' cannot be read: No such file"),
        (["people", "cities", "--keys", "1"], r"names several: people\.person:people, places\.city:cities"),
        (["broken", "--keys", "1"], r"Only the serializer of zoo\.broken:broken can tell a row's key"),
        (["people", "--deleted", "x", "--where", "pk=1"], r"--where, --since, --version do not go with it"),
        (["people", "--database", "elsewhere"], r"'elsewhere' is no database alias"),
        (["people", "--rate", "0"], r"would never end"),
        (["people", "--version", "7"], r"has no version 7"),
        (["persons"], r"'persons' is no publication.*Did you mean"),
        (["--resume", "99"], r"no backfill 99"),
    ],
)
def test_what_cannot_be_is_told_and_starts_nothing(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        republish_all(*arguments)
    assert not Backfill.objects.exists()
    assert not BackfillKey.objects.exists()


def test_rows_deleted_long_ago_are_deleted_on_the_log_too(tmp_path: Path) -> None:
    path = tmp_path / "gone.csv"
    path.write_text("pk,uuid\n7,6a2f41a3-c54c-fce8-32d2-0324e1c32e22\n8,00000000-0000-0000-0000-000000000001\n")
    assert "2 deletes sent" in republish_all("people", "--deleted", str(path))
    assert [(body["type"], body["message"], body["meta"]["identity"]) for body in sent("people")] == [
        ("person.deleted", {"uuid": "6a2f41a3-c54c-fce8-32d2-0324e1c32e22"}, "person:7"),
        ("person.deleted", {"uuid": "00000000-0000-0000-0000-000000000001"}, "person:8"),
    ]


def test_a_delete_sent_again_is_the_delete_that_was_captured(tmp_path: Path) -> None:
    france = Country.objects.create(code="FR", name="France")
    city = City.objects.create(geoname_id=2988507, name="Paris", country=france, latitude=0, longitude=0)
    OutboxRow.objects.all().delete()
    path = tmp_path / "gone.jsonl"
    path.write_text(json.dumps({"id": city.pk, "geoname_id": "2988507"}))
    city.delete()
    columns = ("publication", "object_id", "key", "lane", "operation", "payload")
    captured = [
        {**row, "payload": bytes(row["payload"])} for row in OutboxRow.objects.values(*columns) if row["payload"]
    ]
    OutboxRow.objects.all().delete()

    republish_all("cities", "--deleted", str(path), "--no-drain")

    assert [{**row, "payload": bytes(row["payload"])} for row in OutboxRow.objects.values(*columns)] == captured


def test_a_row_that_is_there_is_not_reported_as_deleted(make_people: MakePeople, tmp_path: Path) -> None:
    (person,) = make_people(1)
    path = tmp_path / "gone.csv"
    path.write_text(f"pk,uuid\n{person.pk + 9},00000000-0000-0000-0000-000000000001\n{person.pk},{person.uuid}\n")
    with pytest.raises(CommandError, match=rf"1 of the rows .* are there: {person.pk}\. Nothing was sent"):
        republish_all("people", "--deleted", str(path))
    assert not Backfill.objects.exists()


def test_a_key_that_another_row_has_by_now_is_not_reported_as_deleted(make_people: MakePeople, tmp_path: Path) -> None:
    (person,) = make_people(1)
    path = tmp_path / "gone.csv"
    path.write_text(f"pk,uuid\n{person.pk + 9},{person.uuid}\n")
    with pytest.raises(CommandError, match=rf"are there: {person.pk}\."):
        republish_all("people", "--deleted", str(path))


def test_a_delete_that_lacks_what_its_message_needs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    path.write_text("7\n8\n")
    with pytest.raises(CommandError, match=r"Line 1 lacks uuid, .*CSV with the header pk,uuid"):
        republish_all("people", "--deleted", str(path))


def test_primary_keys_are_enough_where_a_delete_holds_no_more(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    path.write_text("FR\nDE\n")
    republish_all("countries", "--deleted", str(path))
    assert [body["message"] for body in sent("countries")] == [{"code": "FR"}, {"code": "DE"}]


@pytest.mark.usefixtures("people_by_changes")
def test_of_a_publication_of_changes_no_delete_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "gone.csv"
    path.write_text("pk,uuid\n7,00000000-0000-0000-0000-000000000001\n")
    with pytest.raises(CommandError, match="could overtake"):
        republish_all("people", "--deleted", str(path))


# --- how --------------------------------------------------------------------------------------------------------------


def test_a_dry_run_plans_and_changes_nothing(make_people: MakePeople) -> None:
    make_people(25)
    said = republish_all("people", "--dry-run", "--chunk-size=10", "--rate=5")
    plan = "25 rows would be sent, in 3 chunks, in about 5.0 s at 5 rows/s (the rate asked for)."
    assert said == f"{PEOPLE} on 'default': {plan}\n"
    assert not OutboxRow.objects.exists()
    assert not Backfill.objects.exists()


def test_without_draining_the_rows_wait_for_a_relay(make_people: MakePeople) -> None:
    make_people(2)
    republish_all("people", "--no-drain")
    assert OutboxRow.objects.count() == 2


def test_in_the_background_the_job_waits_for_a_relay(make_people: MakePeople) -> None:
    make_people(2)
    assert "waits for a run_relay" in republish_all("people", "--background")
    (job,) = Backfill.objects.all()
    assert (job.state, backfills.runner_of(job)) == (BackfillState.WAITING, "")
    assert f"--resume {job.pk}" in told("people", "--background").replace(str(job.pk + 1), str(job.pk))


def test_rows_of_another_database_are_sent_from_there(make_people: MakePeople) -> None:
    with suspend_publishing():
        Animal.objects.using("subscriber").create(code="ape")
    assert "zoo.animal:animals on 'subscriber': 1 rows sent" in republish_all("animals", "--database", "subscriber")
    assert Backfill.objects.using("subscriber").count() == 1


@pytest.mark.usefixtures("people_by_changes")
def test_changes_leave_in_line_with_live_ones(make_people: MakePeople) -> None:
    make_people(1)
    OutboxRow.objects.all()._raw_delete("default")
    republish_all("people", "--no-drain")
    person = Person.objects.get()
    person.first_name = "later"
    person.save()
    republish_all("people", "--where", "first_name=nobody")
    assert names_sent() == ["p0", "later"]


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_jobs_are_listed(make_people: MakePeople) -> None:
    assert republish_all("--list") == "No backfill was ever started.\n"
    backfills.start(PEOPLE, requested_by="ann")
    Backfill.objects.create(publication="people.person:tomorrow")
    said = republish_all("--list")
    assert "ann" in said
    assert "waiting, unknown to this release" in said
    assert "No run_relay looks for jobs on 'default'" in said


def test_a_job_is_paused_cancelled_and_resumed_by_its_number(make_people: MakePeople) -> None:
    make_people(3)
    job = backfills.start(PEOPLE)
    said = republish_all("--pause", str(job.pk))
    assert f"paused, 0 rows sent.\nGo on with: manage.py republish_all --resume {job.pk}\n" in said
    assert "3 rows sent" in republish_all("--resume", str(job.pk))
    with pytest.raises(CommandError, match=rf"Backfill {job.pk} is done: it cannot be cancelled"):
        republish_all("--cancel", str(job.pk))
    with pytest.raises(CommandError, match=rf"Backfill {job.pk} is done\. Start another"):
        republish_all("--resume", str(job.pk))


def test_a_job_that_somebody_runs_is_not_run_twice(make_people: MakePeople) -> None:
    make_people(3)
    job = backfills.start(PEOPLE)
    Runner("default", owner="web-1:42:x").take()
    with pytest.raises(CommandError, match="being run by process 42 on web-1"):
        republish_all("--resume", str(job.pk))


def test_a_job_paused_while_it_runs_here_ends_with_3(make_people: MakePeople, monkeypatch: pytest.MonkeyPatch) -> None:
    make_people(25)
    pause_when(monkeypatch, lambda job: job.rows_done >= 10, lambda job: backfills.pause(stored(job)))
    with pytest.raises(SystemExit) as ended:
        republish_all("people", "--chunk-size=10", "--rate=10")
    assert ended.value.code == 3


def test_an_interrupted_job_is_paused_and_says_how_to_go_on(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(25)
    stop = threading.Event()
    monkeypatch.setattr(threading, "Event", lambda: stop)
    pause_when(monkeypatch, lambda job: job.rows_done >= 10, lambda job: stop.set())
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("republish_all", "people", "--chunk-size=10", "--rate=10", stdout=out, stderr=StringIO())

    (job,) = Backfill.objects.all()
    assert (ended.value.code, job.state) == (3, BackfillState.PAUSED)
    assert f"Go on with: manage.py republish_all --resume {job.pk}" in out.getvalue()

    stop.clear()
    monkeypatch.undo()
    Backfill.objects.update(rate=None)
    republish_all("--resume", str(job.pk))
    assert sorted(set(names_sent())) == sorted({f"p{n}" for n in range(25)})


def test_a_log_that_is_away_for_long_pauses_the_job(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch, logpipe_settings: ChangeSettings
) -> None:
    make_people(3)
    logpipe_settings(RELAY_RETRY_SECONDS=0.01, RELAY_MAX_RETRY_SECONDS=0.01)
    monkeypatch.setattr(foreground, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(foreground, "WATCH_SECONDS", 0.01)
    refuse(monkeypatch, BackendUnavailable("no broker"))
    err = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("republish_all", "people", stdout=StringIO(), stderr=err)
    assert ended.value.code == 3
    assert "none of the 3 rows that wait left the outbox. Is the log there" in err.getvalue()
    assert Backfill.objects.get().state == BackfillState.PAUSED


def test_rows_that_were_set_aside_are_told_and_end_with_4(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(3)
    refuse(monkeypatch, MessageRejected("too large"))
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("republish_all", "people", stdout=out, stderr=StringIO())
    assert ended.value.code == 4
    assert "3 could not be sent and are dead letters now" in out.getvalue()


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_line_now_and_then_where_nobody_watches(
    make_people: MakePeople, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("logpipe_signals.management.backfill_output.LINE_SECONDS", 0)
    make_people(25)
    republish_all("people", "--where", "first_name__startswith=p")
    shown = capsys.readouterr().err
    assert f"of {PEOPLE} on 'default' (first_name__startswith=p)" in shown
    assert "of 25 rows sent" in shown


def test_nothing_is_shown_to_who_wants_nothing(make_people: MakePeople, capsys: pytest.CaptureFixture[str]) -> None:
    make_people(5)
    republish_all("people", "--verbosity=0")
    assert capsys.readouterr().err == ""


def pause_when(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[Backfill], bool], then: Callable[[Backfill], Any]
) -> None:
    """Do something when a job that runs in the foreground has come so far."""
    monkeypatch.setattr(foreground, "WATCH_SECONDS", 0)
    show = foreground.Foreground._show

    def showing(self: Any, job: Backfill) -> None:
        show(self, job)
        if when(stored(job)) and stored(job).state == BackfillState.RUNNING:
            then(job)

    monkeypatch.setattr(foreground.Foreground, "_show", showing)


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the log take nothing."""
    from logpipe_signals.backend.base import Delivered, Sent

    monkeypatch.setattr(
        dummy.Producer, "submit", lambda self, messages, **_: Delivered([Sent(error=error) for _ in messages])
    )
