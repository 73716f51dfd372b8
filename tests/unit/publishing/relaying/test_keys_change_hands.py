"""
Rows that go while their keys change: what their delete has to say, and what it must not.

Found by reading the relay beside the scenarios: a delete whose outbox row came behind the upsert of the key's new owner
(ids are not in commit order) removed the new owner; and of two deletes under two keys, only the last one was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from rest_framework import serializers

from logpipe_signals import publishes
from logpipe_signals.models import OutboxRow
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.relay import Relay
from logpipe_signals.registry import Publication, publications
from logpipe_signals.registry.publication import DeleteMode
from testproject.people.models import Person
from tests.unit.publishing.relaying.conftest import ScriptedProducer, enqueue
from tests.zoo.models import Animal

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])

PEOPLE = "people.person:people"


@pytest.fixture
def joe() -> Person:
    joe = Person(pk=1, first_name="Joe", uuid=uuid4())
    joe.save()
    OutboxRow.objects.all().delete()
    return joe


def enqueue_delete(someone: Person) -> None:
    payload = json.dumps({"person/1": {"uuid": str(someone.uuid)}}).encode()
    enqueue(someone, PEOPLE, operation=Operation.DELETE, payload=payload)


def joe_is_gone(joe: Person) -> None:
    Person.objects.filter(pk=joe.pk).delete()
    OutboxRow.objects.all().delete()


def zoe_takes_the_key_of(joe: Person) -> Person:
    """Let joe be gone, and another person have his uuid; the outbox says nothing of it."""
    zoe = Person(pk=2, first_name="Zoë", uuid=joe.uuid)
    joe_is_gone(joe)
    zoe.save()
    OutboxRow.objects.all().delete()
    return zoe


def sent(log: ScriptedProducer) -> list[tuple[str, str]]:
    return [(str(m.key), body["type"]) for m, body in zip(log.sent, log.bodies(), strict=True)]


def test_a_delete_behind_the_keys_new_owner_does_not_hit_the_owner(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    zoe = zoe_takes_the_key_of(joe)
    enqueue(zoe, PEOPLE)
    enqueue_delete(joe)

    relay.drain()

    assert sent(log) == [(str(zoe.uuid), "person")]
    assert not OutboxRow.objects.exists()


class CodedSerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "coded"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = Animal
        fields = ["id", "code"]


@pytest.fixture
def coded() -> Iterator[Publication]:
    """Return a publication whose rows are keyed by one field, and looked up by another one."""
    publishes("coded", CodedSerializer, lookup_fields=["id"])(Animal)
    publication = next(p for p in publications.for_model(Animal) if p.topic == "coded")
    yield publication
    publications.forget(publication)


@pytest.mark.parametrize(("mode", "deletes"), [("message", 1), ("both", 1), ("tombstone", 0)])
def test_a_delete_that_is_looked_up_by_another_field_leaves_though_its_key_has_a_new_owner(
    relay: Relay, log: ScriptedProducer, coded: Publication, mode: DeleteMode, deletes: int
) -> None:
    coded.options = replace(coded.options, delete=mode)
    old = Animal.objects.create(code="x")
    relay.drain()
    log.sent.clear()
    gone = old.pk
    old.delete()
    Animal.objects.create(pk=gone + 1, code="x")

    relay.drain()

    own = [message for message in log.sent if message.topic == "coded"]
    bodies = [body for body in log.bodies() if body["type"].startswith("coded")]
    assert [body["message"] for body in bodies] == [{"id": gone}] * deletes + [{"id": gone + 1, "code": "x"}]
    assert len(own) == len(bodies), "a tombstone would take the new owner"


def test_a_key_whose_text_is_the_serializers_own_is_not_taken_from_its_new_owner(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    """As with `UUIDField(format="hex")`."""
    zoe_takes_the_key_of(joe)
    payload = json.dumps({"person/1": {"uuid": joe.uuid.hex}}).encode()
    enqueue(joe, PEOPLE, key=joe.uuid.hex, operation=Operation.DELETE, payload=payload)

    relay.drain()

    assert log.sent == []


def test_a_row_that_went_under_two_keys_is_deleted_under_both(relay: Relay, log: ScriptedProducer, joe: Person) -> None:
    again = Person(pk=joe.pk, first_name="Joe", uuid=uuid4())
    joe_is_gone(joe)
    enqueue_delete(joe)
    enqueue(again, PEOPLE)
    enqueue_delete(again)

    relay.drain()

    assert sent(log) == [(str(joe.uuid), "person.deleted"), (str(again.uuid), "person.deleted")]
    assert not OutboxRow.objects.exists()


def test_the_delete_of_a_row_that_was_made_again_under_another_key_takes_back_its_key_alone(
    relay: Relay, log: ScriptedProducer, joe: Person
) -> None:
    """As a delete it would make what the row is now stale, where the other partition is read later."""
    enqueue_delete(joe)
    old_key, joe.uuid = joe.uuid, uuid4()
    Person.objects.filter(pk=joe.pk).update(uuid=joe.uuid)
    OutboxRow.objects.exclude(operation=Operation.DELETE).delete()

    relay.drain()

    (message,), (body,) = log.sent, log.bodies()
    assert (message.key, body["message"]) == (str(old_key), {"uuid": str(old_key)})
    assert body["meta"]["operation"] == Operation.RETRACT
