"""The relay: state, not history; nothing lost, order kept, a failure holds back its own row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from logpipe_signals.backend.base import Delivered, Message, Sent
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost, MessageRejected
from logpipe_signals.keys import lane_of
from logpipe_signals.models import DeadLetter, OutboxRow, Source
from logpipe_signals.models.dead_letters import DeadLetterState
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.registry import publications
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from testproject.places.models import City, Country, Tag
from tests.conftest import ChangeSettings
from tests.unit.publishing.relaying.conftest import ScriptedProducer, enqueue

pytestmark = pytest.mark.django_db

PEOPLE = "people.person:people"
CITIES = "places.city:cities"


@pytest.fixture
def joe() -> Person:
    return person("Joe")


def person(first_name: str) -> Person:
    """Make a person whose save left nothing in the outbox."""
    made = Person.objects.create(first_name=first_name, last_name="Schmoe")
    OutboxRow.objects.all().delete()
    return made


def people(count: int) -> list[Person]:
    made = Person.objects.bulk_create([Person(first_name=f"p{n}", last_name="x") for n in range(count)])
    OutboxRow.objects.all().delete()
    return made


def test_relay_sends_the_state_a_row_has_now(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    enqueue(joe, PEOPLE)
    Person.objects.filter(pk=joe.pk).update(first_name="Joseph")

    relay.drain()

    assert log.sent[0].topic == "people"
    assert log.sent[0].key == str(joe.uuid)
    expected = f'json:{{"type":"person","version":1,"message":{{"uuid":"{joe.uuid}","first_name":"Joseph",'
    assert log.sent[0].value == (expected + '"last_name":"Schmoe","email":""}}').encode()
    assert not OutboxRow.objects.exists()


def test_a_burst_of_changes_costs_one_message(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    for _ in range(50):
        enqueue(joe, PEOPLE)

    relay.drain()

    assert len(log.sent) == 1
    assert not OutboxRow.objects.exists()


def test_every_message_carries_identity_source_and_a_growing_sequence(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    for _ in range(3):
        enqueue(joe, PEOPLE)
        relay.drain()

    headers = [dict(message.headers) for message in log.sent]
    assert {header["logpipe-identity"] for header in headers} == {f"person:{joe.pk}".encode()}
    assert {header["logpipe-source"] for header in headers} == {Source.objects.get().name.encode()}
    sequences = [int(header["logpipe-sequence"]) for header in headers]
    assert sequences == sorted(set(sequences))


def test_on_a_log_without_headers_they_travel_in_the_body(
    relay: Relay, log: ScriptedProducer, joe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedProducer, "supports_headers", False)
    enqueue(joe, PEOPLE)

    relay.drain()

    assert log.sent[0].headers == ()
    assert log.bodies()[0]["meta"]["identity"] == f"person:{joe.pk}"


def test_the_sequence_is_drawn_after_the_claim_and_before_the_read(relay: Relay, joe: Person) -> None:
    enqueue(joe, PEOPLE)

    with CaptureQueriesContext(connection) as queries:
        relay.drain()

    tables = [OutboxRow._meta.db_table, Source._meta.db_table, Person._meta.db_table]
    first_use = [next(n for n, query in enumerate(queries) if table in query["sql"]) for table in tables]
    assert first_use == sorted(first_use)


def test_a_delete_sends_what_the_outbox_kept(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    pk = joe.pk
    enqueue(joe, PEOPLE, operation=Operation.DELETE, payload=delete_payload(joe))
    Person.objects.filter(pk=pk)._raw_delete("default")

    relay.drain()

    body = log.bodies()[0]
    assert (body["type"], body["version"], body["message"]) == ("person.deleted", 1, {"uuid": str(joe.uuid)})
    assert body["meta"]["identity"] == f"person:{pk}"
    assert body["meta"]["operation"] == "delete"


def test_created_and_deleted_again_is_a_delete(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    enqueue(joe, PEOPLE)
    enqueue(joe, PEOPLE, operation=Operation.DELETE, payload=delete_payload(joe))
    Person.objects.filter(pk=joe.pk)._raw_delete("default")

    relay.drain()

    assert [body["type"] for body in log.bodies()] == ["person.deleted"]
    assert not OutboxRow.objects.exists()


def test_deleted_and_created_again_is_the_new_state(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    enqueue(joe, PEOPLE, operation=Operation.DELETE, payload=delete_payload(joe))
    enqueue(joe, PEOPLE)

    relay.drain()

    assert [body["type"] for body in log.bodies()] == ["person"]


def test_a_row_that_came_back_under_another_key_gives_up_the_old_one(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    old = "00000000-0000-4000-8000-000000000001"
    payload = json.dumps({"person/1": {"uuid": old}}).encode()
    enqueue(joe, PEOPLE, key=old, operation=Operation.DELETE, payload=payload)
    enqueue(joe, PEOPLE)

    relay.drain()

    sent = {message.key: body["type"] for message, body in zip(log.sent, log.bodies(), strict=True)}
    assert sent == {old: "person.deleted", str(joe.uuid): "person"}


def test_a_key_that_has_a_new_owner_is_not_retracted(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    jane = person("Jane")
    payload = json.dumps({"person/1": {"uuid": str(jane.uuid)}}).encode()
    enqueue(joe, PEOPLE, key=str(jane.uuid), operation=Operation.RETRACT, payload=payload)

    relay.drain()

    assert log.sent == []
    assert not OutboxRow.objects.exists()


def test_a_row_that_is_looked_up_by_something_else_is_not_deleted_when_its_key_changes(
    relay: Relay, log: ScriptedProducer, joe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order keyed by its customer and found by its number moves to another customer."""

    class ByUuidKeyedByName(PersonSerializer):
        KEY_FIELD = "last_name"

    people = publications[PEOPLE]
    monkeypatch.setitem(people.__dict__, "serializer_classes", (ByUuidKeyedByName,))
    for name, value in (("key_field", "last_name"), ("lookup_fields", ("uuid",))):
        monkeypatch.setitem(people.__dict__, name, value)
    monkeypatch.setitem(people.__dict__, "key_column", Person._meta.get_field("last_name"))
    enqueue(joe, PEOPLE, key="another customer", operation=Operation.RETRACT, payload=delete_payload(joe))
    enqueue(joe, PEOPLE, key="Schmoe")

    relay.drain()

    assert [body["type"] for body in log.bodies()] == ["person"]
    assert not OutboxRow.objects.exists()


def test_a_changed_key_moves_the_intent_to_the_lane_of_the_new_key(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    """Two relays must never both send one row: only the lane of its present key may."""
    lane = lane_of("people", str(joe.uuid), 8)
    old_key = next(key for key in map(str, range(100)) if lane_of("people", key, 8) != lane)
    old_lane = enqueue(joe, PEOPLE, key=old_key).lane
    relay.lanes.tokens = {old_lane: relay.lanes.tokens[old_lane]}

    relay.relay_batch()
    relay.settle_all()

    assert log.sent == []
    assert OutboxRow.objects.get().lane == lane


def test_one_read_and_its_prefetches_serve_a_batch(relay: Relay, log: ScriptedProducer) -> None:
    country = Country.objects.create(code="FR", name="France")
    tag = Tag.objects.create(name="Europe/Paris")
    for number in range(20):
        city = City.objects.create(geoname_id=number, name=f"c{number}", country=country, latitude=0, longitude=0)
        city.tags.add(tag)
    OutboxRow.objects.all().delete()
    for city in City.objects.all():
        enqueue(city, CITIES, key=str(city.geoname_id))

    with CaptureQueriesContext(connection) as queries:
        relay.drain()

    reads = [query for query in queries if City._meta.db_table in query["sql"]]
    assert len(reads) == 2, "one read and one prefetch"
    assert log.bodies()[0]["message"]["country"] == {"code": "FR", "name": "France"}
    assert log.bodies()[0]["message"]["tags"] == ["Europe/Paris"]


@pytest.mark.parametrize("count", [1, 500])
def test_a_batch_of_live_changes_takes_four_statements_whatever_its_size(
    make_relay: Callable[..., Relay], log: ScriptedProducer, count: int, django_assert_num_queries: Any
) -> None:
    for made in people(count):
        enqueue(made, PEOPLE)
    relay = make_relay()  # only now: on a slow machine its leases would have to be renewed by the time
    relay._settlement.look_for_dead_letters()

    sequence = 2 if connection.vendor == "mysql" else 1  # no UPDATE ... RETURNING there
    with django_assert_num_queries(sequence + 3):  # claim, read, retire
        relay.relay_batch(limit=500)
        relay.settle_all()

    assert len(log.sent) == count


class Touchy(PersonSerializer):
    """Raises for one name."""

    def to_representation(self, instance: Person) -> dict[str, Any]:
        if instance.first_name == "poison":
            raise ValueError("cannot be serialised")
        return super().to_representation(instance)


@pytest.fixture
def touchy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(publications[PEOPLE].__dict__, "serializer_classes", (Touchy,))


@pytest.mark.usefixtures("touchy")
def test_a_row_that_cannot_be_serialised_is_set_aside_and_holds_back_no_other(
    relay: Relay, log: ScriptedProducer
) -> None:
    poison, good = person("poison"), person("good")
    enqueue(poison, PEOPLE)
    enqueue(good, PEOPLE)

    relay.drain()

    assert [body["message"]["first_name"] for body in log.bodies()] == ["good"]
    letter = DeadLetter.objects.get()
    assert (letter.identity, letter.reason, letter.error) == (
        f"person:{poison.pk}",
        "ValueError",
        "cannot be serialised",
    )
    assert not OutboxRow.objects.exists()


@pytest.mark.usefixtures("touchy")
def test_a_later_good_change_supersedes_the_dead_letter(relay: Relay, log: ScriptedProducer) -> None:
    poison = person("poison")
    enqueue(poison, PEOPLE)
    relay.drain()
    Person.objects.filter(pk=poison.pk).update(first_name="cured")
    enqueue(poison, PEOPLE)

    relay.drain()

    assert DeadLetter.objects.get().state == DeadLetterState.SUPERSEDED


def test_a_message_the_log_will_never_take_is_set_aside_with_its_bytes(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    log.refuse = lambda message: MessageRejected("too large")
    enqueue(joe, PEOPLE)

    relay.drain()

    letter = DeadLetter.objects.get()
    assert bytes(letter.value).startswith(b'json:{"type":"person"')
    assert bytes(letter.key).decode() == str(joe.uuid)
    assert not OutboxRow.objects.exists()


def test_a_message_refused_for_now_waits_and_all_others_flow(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    jane = person("Jane")
    log.refuse = lambda message: BackendUnavailable("later") if message.key == str(joe.uuid) else None
    enqueue(joe, PEOPLE)
    enqueue(jane, PEOPLE)

    relay.drain()

    assert [message.key for message in log.sent] == [str(jane.uuid)]
    waiting = OutboxRow.objects.get()
    assert waiting.attempts == 1
    assert waiting.retry_at is not None


def test_a_row_put_off_is_sent_when_its_time_has_come(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    row = enqueue(joe, PEOPLE)
    OutboxRow.objects.filter(pk=row.pk).update(retry_at="2000-01-01T00:00:00Z", attempts=3)

    relay.drain()

    assert len(log.sent) == 1


def test_while_the_log_is_away_every_row_stays_pending(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    log.away = True
    enqueue(joe, PEOPLE)

    with pytest.raises(BackendUnavailable):
        relay.drain()
    assert OutboxRow.objects.get().attempts == 0

    log.away = False
    relay.recover()
    relay.drain()
    assert len(log.sent) == 1


def test_rows_of_a_publication_of_another_release_are_left_alone(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    enqueue(joe, "people.person:a-topic-of-tomorrow")

    report = relay.drain()

    assert report.claimed == 0, "a relay that claimed it again and again would spin"
    assert OutboxRow.objects.count() == 1


def test_a_relay_held_up_past_its_lease_sends_nothing(
    relay: Relay, log: ScriptedProducer, joe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(joe, PEOPLE)
    monkeypatch.setattr(relay.lanes, "_deadline", 0.0)

    with pytest.raises(LeaseLost):
        relay.relay_batch()

    assert log.sent == []
    assert OutboxRow.objects.exists()


def test_a_late_owner_retires_nothing(make_relay: Callable[..., Relay], log: ScriptedProducer, joe: Person) -> None:
    relay = make_relay()
    enqueue(joe, PEOPLE)
    rows = relay.claims.claim(relay.lanes.numbers, limit=10)
    relay.lanes._leases.update(token=models.F("token") + 1)

    assert relay._settlement.retire(rows) == 0
    assert OutboxRow.objects.exists()


def test_exactly_the_claimed_rows_are_retired(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    enqueue(joe, PEOPLE)

    def change_while_sending(message: Message) -> None:
        enqueue(joe, PEOPLE)

    log.refuse = change_while_sending
    relay.relay_batch()
    relay.settle_all()

    assert OutboxRow.objects.count() == 1


def test_both_versions_of_a_row_leave_from_one_read(
    relay: Relay, log: ScriptedProducer, joe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PersonV2(serializers.ModelSerializer):
        MESSAGE_TYPE, VERSION, KEY_FIELD = "person", 2, "uuid"

        class Meta:
            model = Person
            fields = ["uuid", "email"]

    monkeypatch.setitem(publications[PEOPLE].__dict__, "serializer_classes", (PersonSerializer, PersonV2))
    enqueue(joe, PEOPLE)

    with CaptureQueriesContext(connection) as queries:
        relay.drain()

    assert [body["version"] for body in log.bodies()] == [1, 2]
    assert sum(Person._meta.db_table in query["sql"] for query in queries) == 1


def delete_payload(someone: Person) -> bytes:
    return json.dumps({"person/1": {"uuid": str(someone.uuid)}}).encode()


def test_an_interrupted_relay_keeps_its_lanes_until_what_was_on_its_way_has_settled(
    relay: Relay, log: ScriptedProducer, joe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts = iter([KeyboardInterrupt()])

    class Slow(Delivered):
        done = False

        def wait(self, timeout_seconds: float) -> list[Sent]:
            if (interrupt := next(interrupts, None)) is not None:
                raise interrupt
            assert len(relay.lanes), "another relay could send a newer state before this one arrives"
            return super().wait(timeout_seconds)

    plain = log.submit
    monkeypatch.setattr(log, "submit", lambda messages, **some: Slow(plain(messages, **some).wait(0)))
    enqueue(joe, PEOPLE)

    with pytest.raises(KeyboardInterrupt):
        relay.drain()
    relay.stop()

    assert not OutboxRow.objects.exists()


def test_a_relay_that_got_no_lane_leaves_no_fenced_client_behind(
    make_relay: Callable[..., Relay],
    log: ScriptedProducer,
    monkeypatch: pytest.MonkeyPatch,
    logpipe_settings: ChangeSettings,
) -> None:
    make_relay()
    open_clients: list[int] = []
    monkeypatch.setattr(log, "fenced", lambda owner: log, raising=False)
    monkeypatch.setattr(log, "ready", lambda: open_clients.append(1))
    monkeypatch.setattr(log, "close", open_clients.clear)
    logpipe_settings(KAFKA_FENCING="transactions")

    assert not Relay("default").take_lanes([1])

    assert open_clients == []
