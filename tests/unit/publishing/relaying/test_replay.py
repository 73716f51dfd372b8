"""Replay: a publisher's dead letters go back into the outbox, in order, and are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import call_command

from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import MessageRejected
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.models.dead_letters import DeadLetterState
from logpipe_signals.publishing.messages import Outgoing
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.publishing.replay import replay, skip
from logpipe_signals.publishing.settling import Settlement
from logpipe_signals.registry import Publication, publications
from testproject.people.models import Person
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db
PEOPLE = "people.person:people"


def refuse_all(message: Message) -> Exception:
    return MessageRejected("too large")


def names(log: ScriptedProducer) -> list[str]:
    return [body["message"].get("first_name", body["type"]) for body in log.bodies()]


@pytest.fixture
def changes() -> Iterator[Publication]:
    """Make the publication one of changes."""
    publication = publications[PEOPLE]
    before = publication.options
    publication.options = replace(before, payload="change")
    yield publication
    publication.options = before


def stuck(relay: Relay, log: ScriptedProducer, *first_names: str) -> Person:
    """Save a person once a name, all of which end as dead letters."""
    log.refuse = refuse_all
    person = Person.objects.create(first_name=first_names[0])
    for name in first_names[1:]:
        person.first_name = name
        person.save()
    relay.drain()
    log.refuse = lambda message: None
    assert not OutboxRow.objects.exists()
    return person


def test_a_replayed_state_is_what_the_row_is_now(relay: Relay, log: ScriptedProducer) -> None:
    person = stuck(relay, log, "then")
    Person.objects.filter(pk=person.pk).update(first_name="now")

    assert replay(DeadLetter.objects.all()) == 1
    relay.drain()

    assert names(log) == ["now"]
    assert DeadLetter.objects.get().state == DeadLetterState.REPLAYED


def test_a_replayed_delete_keeps_what_its_message_needs(relay: Relay, log: ScriptedProducer) -> None:
    person = Person.objects.create(first_name="Joe")
    uuid = str(person.uuid)
    relay.drain()
    log.sent.clear()
    log.refuse = refuse_all
    person.delete()
    relay.drain()
    log.refuse = lambda message: None

    replay(DeadLetter.objects.all())
    relay.drain()

    assert log.bodies()[0]["message"] == {"uuid": uuid}


@pytest.mark.usefixtures("changes")
def test_replayed_changes_leave_in_their_order(relay: Relay, log: ScriptedProducer) -> None:
    stuck(relay, log, "a", "b", "c")

    assert replay(DeadLetter.objects.all()) == 3
    relay.drain()

    assert names(log) == ["a", "b", "c"]


@pytest.mark.usefixtures("changes")
def test_a_skipped_change_lets_those_behind_it_go(relay: Relay, log: ScriptedProducer) -> None:
    stuck(relay, log, "a", "b", "c")

    assert skip(DeadLetter.objects.filter(state=DeadLetterState.OPEN)) == 1
    relay.drain()

    assert names(log) == ["b", "c"]


@pytest.mark.usefixtures("changes")
@pytest.mark.parametrize(("mend", "first"), [(replay, "a"), (skip, "b")])
def test_what_is_replayed_stays_before_later_changes_of_its_row(
    relay: Relay, log: ScriptedProducer, mend: Callable[..., int], first: str
) -> None:
    person = stuck(relay, log, "a", "b", "c")
    person.first_name = "d"
    person.save()

    mend(DeadLetter.objects.filter(state=DeadLetterState.OPEN))
    relay.drain()

    assert names(log) == list("abcd"["abcd".index(first) :])


@pytest.mark.usefixtures("changes")
def test_a_change_is_not_parked_behind_what_was_replayed_meanwhile(
    relay: Relay, log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = stuck(relay, log, "a", "b")
    person.first_name = "c"
    person.save()
    park = Settlement.park

    def replayed_meanwhile(settlement: Settlement, outgoing: Outgoing) -> None:
        replay(DeadLetter.objects.all())
        park(settlement, outgoing)

    monkeypatch.setattr(Settlement, "park", replayed_meanwhile)
    relay.drain()

    assert names(log) == ["a", "b", "c"]
    assert not DeadLetter.objects.exclude(state=DeadLetterState.REPLAYED).exists()


def test_replaying_twice_sends_once(relay: Relay, log: ScriptedProducer) -> None:
    stuck(relay, log, "a")
    replay(DeadLetter.objects.all())

    assert replay(DeadLetter.objects.all()) == 0


def test_the_command_replays_a_publishers_letters(relay: Relay, log: ScriptedProducer) -> None:
    stuck(relay, log, "a")
    told = StringIO()

    call_command("replay_dead_letters", "--publisher", stdout=told)
    relay.drain()

    assert names(log) == ["a"]
    assert "1 changes" in told.getvalue()
