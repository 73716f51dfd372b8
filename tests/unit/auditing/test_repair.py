"""Repair mends what an audit found and touches no other row; the command says how it ended."""

from __future__ import annotations

import json
import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals.management.commands import audit_topic
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.audits.repairing import Finding, repair
from testproject.mirror.models import PersonCopy
from testproject.people.models import Person
from tests.unit.auditing.conftest import Sides, command, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)


@pytest.fixture
def hurt(people: list[Person], copies: Any) -> PersonCopy:
    """Remove, change and add a row behind the subscriber's back, and return the one added."""
    copies.filter(uuid=people[1].uuid).delete()
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    ghost: PersonCopy = copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    return ghost


def start(sides: Sides) -> str:
    """Audit, and return the audit's name."""
    sent = sides.start()
    sides.consume()
    return sent.audit


def test_repair_mends_what_was_found_and_sends_nothing_else(
    sides: Sides, people: list[Person], hurt: PersonCopy, copies: Any, tmp_path: Path
) -> None:
    run, keys = start(sides), tmp_path / "keys"
    before = dict(copies.values_list("uuid", "pk"))
    assert command("--report", run, keys_file=keys)[1] == 1
    assert command("people", repair=f"@{keys}")[1] == 0
    pending = set(OutboxRow.objects.values_list("operation", "key"))
    assert pending == {("upsert", str(people[1].uuid)), ("upsert", str(people[2].uuid)), ("delete", str(hurt.uuid))}
    sides.sync()
    assert sides.audit().verdict == "clean"
    assert not copies.filter(uuid=hurt.uuid).exists()
    untouched = {str(p.uuid) for p in people} - {str(people[1].uuid)}
    assert {u: pk for u, pk in copies.values_list("uuid", "pk") if str(u) in untouched} == {
        u: pk for u, pk in before.items() if str(u) in untouched
    }


def test_the_keys_of_a_file_name_rows_and_hold_no_other_values(
    sides: Sides, people: list[Person], hurt: PersonCopy, tmp_path: Path
) -> None:
    run = start(sides)
    command("--report", run, keys_file=tmp_path / "keys")
    lines = [json.loads(line) for line in (tmp_path / "keys").read_text().splitlines()]
    assert {(line["kind"], tuple(line["lookup"]), tuple(line["fields"])) for line in lines} == {
        ("missing", ("uuid",), ()),
        ("different", ("uuid",), ("last_name",)),
        ("extra", ("uuid",), ()),
    }


def test_an_extra_row_that_the_publisher_has_by_now_is_published_and_not_deleted(
    sides: Sides, people: list[Person]
) -> None:
    there = Finding(kind="extra", key=str(people[0].uuid), lookup={"uuid": str(people[0].uuid)})
    done = repair(sides.target(), [there])
    assert (done.deleted, list(OutboxRow.objects.values_list("operation", flat=True))) == (0, ["upsert"])


def test_a_row_that_is_gone_by_now_is_not_published(sides: Sides, people: list[Person]) -> None:
    pk = people[0].pk
    people[0].delete()
    sides.relay()
    done = repair(sides.target(), [Finding(kind="missing", pk=str(pk), lookup={"uuid": str(people[0].uuid)})])
    assert (done.republished, done.gone, OutboxRow.objects.count()) == (0, 1, 0)


def test_deletes_of_several_extra_rows_find_each_its_own(sides: Sides, people: list[Person], copies: Any) -> None:
    ghosts = [copies.create(uuid=uuid.uuid4(), first_name="G", last_name=f"{n}") for n in range(5)]
    report = sides.audit()
    findings = [Finding(kind="extra", key=f.key, lookup=f.lookup) for f in report.findings()]
    assert repair(sides.target(), findings).deleted == 5
    sides.sync()
    assert not copies.filter(pk__in=[ghost.pk for ghost in ghosts]).exists()
    assert copies.count() == 12


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_clean_report_ends_with_0_drift_with_1_and_incomplete_with_2(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    clean = start(sides)
    assert command("--report", clean)[1] == 0
    copies.filter(uuid=people[1].uuid).delete()
    said, code = command("--report", start(sides))
    assert (code, "1 missing" in said, f"pk {people[1].pk}" in said) == (1, True, True)
    sides.start()
    said, code = command("--report", clean)
    assert code == 0, "an audit that is done stays what it was"
    sides.relay()
    assert command("people", wait=0.0, pause=0.0)[1] == 2, "nobody consumes: nothing is known"


def test_an_audit_in_a_project_that_does_not_subscribe_says_where_the_report_is(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_topic, "_routes", lambda target: {})
    said, code = command("people", pause=0.0)
    assert (code, "audit_topic --report" in said) == (0, True)


def test_the_json_report_has_the_numbers(sides: Sides, people: list[Person], hurt: PersonCopy) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="3 rows differ"):
        call_command("audit_topic", "--report", start(sides), "--json", stdout=out)
    (told,) = json.loads(out.getvalue())
    assert {name: told[name] for name in ("verdict", "rows", "missing", "extra", "different", "unsettled")} == {
        "verdict": "drift",
        "rows": 12,
        "missing": 1,
        "extra": 1,
        "different": 1,
        "unsettled": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say what: a topic"),
        (["nothing"], "is no publication"),
        (["--report", "ffff"], "No such audit has arrived"),
        (["people", "--repair", "keys"], "say @FILE"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_cure(arguments: list[str], said: str) -> None:
    assert said in command(*arguments)[0]


def test_keys_narrow_an_audit_and_no_extra_rows_are_sought(
    sides: Sides, people: list[Person], hurt: PersonCopy
) -> None:
    report = sides.audit(pks=[str(people[2].pk), str(people[3].pk)])
    assert (report.rows, found(report)) == (2, {("different", str(people[2].pk), ("last_name",))})
