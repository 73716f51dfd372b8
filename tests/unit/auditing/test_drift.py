"""What an audit finds, what it does not take for drift, and what it says when it cannot know."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from logpipe_signals.backend.base import Message
from logpipe_signals.backend.dummy import Producer, create_topic
from logpipe_signals.consuming.audits import reports
from logpipe_signals.consuming.audits.reports import latest, report_on
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.models import AppliedSequence, Audit, AuditFinding, AuditRange, AuditTouch
from logpipe_signals.publishing.audits.reading import RangeReader
from logpipe_signals.publishing.audits.running import AuditOptions, AuditRun
from logpipe_signals.publishing.audits.sending import AuditFailed
from testproject.mirror.models import CityCopy, PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.places.models import City, Country, Tag
from tests.unit.auditing.conftest import Sides, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)


def test_an_audit_of_equal_sides_is_clean(sides: Sides, people: list[Person]) -> None:
    report = sides.audit()
    assert (report.verdict, report.rows, found(report)) == ("clean", 12, set())


def test_rows_removed_changed_and_added_by_hand_are_named_and_no_others(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    copies.filter(uuid=people[1].uuid).delete()
    copies.filter(uuid=people[2].uuid).update(last_name="Blow", email="x@ex.org")
    ghost = copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    report = sides.audit()
    assert report.verdict == "drift"
    assert found(report) == {
        ("missing", str(people[1].pk), ()),
        ("different", str(people[2].pk), ("last_name", "email")),
        ("extra", str(ghost.uuid), ()),
    }


def test_the_findings_hold_no_values(sides: Sides, people: list[Person], copies: Any) -> None:
    copies.filter(uuid=people[2].uuid).update(last_name="Secret")
    sides.audit()
    (row,) = AuditFinding.objects.using("subscriber").values()
    assert "Secret" not in str(row)
    assert "Schmoe" not in str(row)


def test_nested_objects_lists_and_floats_of_bulk_subscribers_are_compared(sides: Sides) -> None:
    country = Country.objects.create(code="DE", name="Deutschland")
    tag = Tag.objects.create(name="Europe/Berlin")
    made = []
    for number in range(5):
        city = City(geoname_id=number, name=f" Köln {number}", country=country, latitude=50.1 / 3, longitude=-7e-7)
        city.save()
        city.tags.add(tag)
        made.append(city)
    sides.sync()
    assert sides.audit("cities").verdict == "clean"
    CityCopy.objects.using("subscriber").filter(geoname_id=1).update(country_code="FR")
    CityCopy.objects.using("subscriber").filter(geoname_id=2).update(latitude=50.2 / 3)
    CityCopy.objects.using("subscriber").filter(geoname_id=3).update(tags=[])
    assert found(sides.audit("cities")) == {
        ("different", str(made[1].pk), ("country.code",)),
        ("different", str(made[2].pk), ("latitude",)),
        ("different", str(made[3].pk), ("tags",)),
    }


# --- under way --------------------------------------------------------------------------------------------------------


def test_a_change_that_waits_in_the_outbox_is_no_drift(sides: Sides, people: list[Person]) -> None:
    people[0].last_name = "Later"
    people[0].save()
    people[1].delete()
    Person.objects.create(first_name="New", last_name="Comer")
    report = sides.audit()
    assert (found(report), report.unsettled) == (set(), 2)


def test_a_change_that_arrives_between_the_rounds_settles(sides: Sides, people: list[Person]) -> None:
    people[0].last_name = "Later"
    people[0].save()
    sent = sides.start(rounds=2, pause_seconds=0.0)
    rounds = AuditRange.objects.using("subscriber")
    sides.consume()
    assert rounds.count() == sent.marks
    sides.relay()
    assert sides.audit().verdict == "clean"


def test_a_row_that_changed_after_it_was_read_is_no_drift(
    sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = RangeReader._pending

    def changed_meanwhile(self: RangeReader, instances: Any) -> Any:
        """Change a row between the reading and the question to the outbox, and send the change too."""
        Person.objects.get(pk=people[0].pk).save()
        Person.objects.filter(pk=people[1].pk).update(last_name="Faster")
        sides.relay()
        return pending(self, instances)

    monkeypatch.setattr(RangeReader, "_pending", changed_meanwhile)
    sent = sides.start()
    sides.consume()
    report = sides.report(sent)
    assert (report.verdict, found(report)) == ("clean", set())


@pytest.mark.usefixtures("changing")
def test_a_row_that_changed_after_every_reading_is_unsettled(sides: Sides) -> None:
    report = sides.audit()
    assert (report.verdict, found(report), report.unsettled) == ("clean", set(), 1)


def test_drift_of_a_row_that_is_published_between_the_rounds_is_mended_and_not_reported(
    sides: Sides, people: list[Person], copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    ranges = RangeReader.ranges
    begun: list[int] = []

    def published_before_the_second(self: RangeReader, *arguments: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            people[2].save()
            sides.relay()
        return ranges(self, *arguments)

    monkeypatch.setattr(RangeReader, "ranges", published_before_the_second)
    report = sides.audit()
    assert (report.verdict, found(report)) == ("clean", set())


def test_rows_made_while_the_audit_ran_are_not_extra(sides: Sides, people: list[Person]) -> None:
    sent = sides.start()
    Person.objects.create(first_name="New", last_name="Comer")
    sides.sync()
    assert found(sides.report(sent)) == set()


def test_a_key_that_changes_hands_during_the_audit_is_no_drift(
    sides: Sides, people: list[Person], copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row takes a key for a while, and its giving it up has not been read: nothing tells of the row by its key."""
    unread = uuid.uuid4()
    ranges = RangeReader.ranges

    def taken_meanwhile(self: RangeReader, *arguments: Any) -> Any:
        yield from ranges(self, *arguments)
        Person.objects.create(uuid=unread, first_name="Passing", last_name="By")
        sides.relay()
        Person.objects.filter(uuid=unread).delete()

    monkeypatch.setattr(RangeReader, "ranges", taken_meanwhile)
    monkeypatch.setattr(RangeReader, "leaving", lambda self: iter(()))
    sent = sides.start()
    sides.consume()
    assert copies.filter(uuid=unread).exists()
    assert found(sides.report(sent)) == set()


def test_of_two_reports_at_once_the_second_one_finds_what_the_first_one_did(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    sent = sides.start()
    sides.consume()
    (read_before,) = latest("subscriber", run=sent.audit)
    first = sides.report(sent)
    second = report_on(read_before, MultiConsumer(*declared_consumers()).routes())
    assert (first.counts, second.counts) == ({"extra": 1}, {"extra": 1})


def test_a_report_that_another_one_overtakes_finds_what_that_one_did(
    sides: Sides, people: list[Person], copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one lets the hashes go by which extra rows are found."""
    copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    sent = sides.start()
    sides.consume()
    find_extra, others = reports.find_extra, [sides]

    def overtaken(*arguments: Any) -> None:
        if others:
            others.pop().report(sent)
        find_extra(*arguments)

    monkeypatch.setattr(reports, "find_extra", overtaken)
    assert sides.report(sent).counts == {"extra": 1}


def test_nothing_is_recorded_for_an_audit_that_is_done(sides: Sides, people: list[Person]) -> None:
    sides.audit()
    people[0].save()
    sides.sync()
    assert not AuditTouch.objects.using("subscriber").exists()


def test_extra_rows_are_not_judged_by_a_report_that_comes_too_late(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    sent = sides.start()
    sides.consume()
    AuditRange.objects.using("subscriber").update(created=timezone.now() - timedelta(hours=2))
    report = sides.report(sent)
    assert (report.verdict, found(report)) == ("incomplete", set())
    assert any("an hour ago" in problem for problem in report.problems)


def test_a_delete_that_is_on_its_way_is_no_extra_row(sides: Sides, people: list[Person]) -> None:
    people[3].delete()
    sent = sides.start()
    sides.consume()
    assert found(sides.report(sent)) == set()


# --- what is not known ------------------------------------------------------------------------------------------------


def test_an_audit_is_incomplete_as_long_as_a_partitions_marks_have_not_arrived(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    sent = sides.start()
    sides.consume()
    audit = Audit.objects.using("subscriber").get(run=sent.audit)
    audit.ranges.filter(partition="1").delete()
    report = sides.report(sent)
    assert report.verdict == "incomplete"
    assert report.waiting is not None
    assert set(report.waiting) == {"1"}


def test_an_audit_without_a_last_mark_is_incomplete(sides: Sides, people: list[Person]) -> None:
    sent = sides.start()
    sides.consume()
    audit = Audit.objects.using("subscriber").get(run=sent.audit)
    audit.ranges.filter(expected__isnull=False).delete()
    report = sides.report(sent)
    assert (report.verdict, report.waiting) == ("incomplete", None)


def test_extra_rows_are_looked_for_only_when_every_mark_has_arrived(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    sent = sides.start(rounds=1)
    sides.consume()
    audit = Audit.objects.using("subscriber").get(run=sent.audit)
    one = audit.ranges.filter(partition="1").order_by("pk")[0]
    AuditRange.objects.using("subscriber").filter(pk=one.pk).update(number=-5, round=9)
    assert (sides.report(sent).verdict, found(sides.report(sent))) == ("incomplete", set())
    AuditRange.objects.using("subscriber").filter(pk=one.pk).update(number=one.number, round=one.round)
    assert [kind for kind, _, _ in found(sides.report(sent))] == ["extra"]


def test_marks_that_are_read_again_are_compared_once(
    sides: Sides, people: list[Person], copies: Any, caplog: pytest.LogCaptureFixture
) -> None:
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    sent = sides.start()
    sides.consume()
    copies.filter(uuid=people[4].uuid).update(last_name="Blow")
    call_command("run_consumer", "--until-caught-up", "--from", "beginning", verbosity=0)
    report = sides.report(sent)
    assert report.complete
    assert {pk for _, pk, _ in found(report)} <= {str(people[2].pk)}
    assert "passed over" not in caplog.text


def test_a_topic_that_gets_partitions_in_mid_audit_ends_it_with_an_error(sides: Sides, people: list[Person]) -> None:
    run = AuditRun(sides.target(), AuditOptions(pause_seconds=0.0))
    create_topic("people", partitions=7)
    with pytest.raises(AuditFailed, match="got other partitions"):
        run.run()


def test_bytes_that_are_no_mark_stop_nobody(sides: Sides, people: list[Person]) -> None:
    for body in (
        b'{"type":"person.audit","version":1,"message":{"audit":1}}',
        b'{"type":"person.audit","version":1,"message":3}',
    ):
        Producer().submit([Message(topic="people", key="k", value=b"json:" + body)], timeout_seconds=1).wait(1)
    people[0].last_name = "Behind"
    people[0].save()
    sides.sync()
    assert PersonCopy.objects.using("subscriber").filter(last_name="Behind").exists()
    assert not Audit.objects.using("subscriber").exists()


# --- a log that keeps its layout to itself ----------------------------------------------------------------------------


@pytest.fixture
def no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log not tell where a key goes."""
    monkeypatch.setattr(Producer, "layout", lambda self, topic: None)


@pytest.mark.usefixtures("no_layout")
def test_where_the_log_does_not_tell_where_keys_go_each_mark_has_its_rows_key(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    assert sides.audit().verdict == "clean"
    copies.filter(uuid=people[1].uuid).delete()
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    assert found(sides.audit()) == {
        ("missing", str(people[1].pk), ()),
        ("different", str(people[2].pk), ("last_name",)),
    }


@pytest.mark.usefixtures("no_layout")
@pytest.mark.usefixtures("changing")
def test_where_no_first_marks_can_be_sent_a_higher_sequence_says_that_a_row_changed(sides: Sides) -> None:
    report = sides.audit()
    assert (report.verdict, found(report), report.unsettled) == ("clean", set(), 1)


def test_drift_is_found_where_the_publishers_sequence_went_back(
    sides: Sides, people: list[Person], copies: Any
) -> None:
    """Its database was restored: all that is applied has a higher sequence than any mark."""
    AppliedSequence.objects.using("subscriber").update(sequence=10**6)
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    assert found(sides.audit()) == {("different", str(people[2].pk), ("last_name",))}


@pytest.mark.usefixtures("no_layout", "changing")
def test_where_no_first_marks_can_be_sent_and_there_is_no_guard_nothing_is_judged(
    sides: Sides, people: list[Person], subscribed: Any
) -> None:
    subscribed(PersonCopySerializer, guard=False)
    report = sides.audit()
    assert (report.verdict, found(report)) == ("incomplete", set())
    assert any("guard" in problem for problem in report.problems)
