"""What a block would publish is captured, in a TestCase as in a TransactionTestCase, and goes no further."""

from __future__ import annotations

from unittest.mock import ANY

import pytest
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from rest_framework import serializers

from logpipe_signals import publishes
from logpipe_signals.backend import dummy
from logpipe_signals.models import OutboxRow
from logpipe_signals.registry import publications
from logpipe_signals.testing import LogpipeTestMixin, NotPublishable, capture_published, in_memory_log
from testproject.people.models import Person
from testproject.places.models import City, Country, Tag
from tests.zoo.models import Visit


class Promises(LogpipeTestMixin):
    """What holds in either kind of test case."""

    databases = {"default"}

    def test_a_save_is_captured(self) -> None:
        with self.capture_published() as published:
            joe = Person.objects.create(first_name="Joe", last_name="Schmoe")
        message = self.assert_published(
            published,
            topic="people",
            type="person",
            version=1,
            message={"uuid": str(joe.uuid), "first_name": "Joe", "last_name": "Schmoe", "email": ""},
        )
        assert (message.key, message.identity, message.operation) == (str(joe.uuid), f"person:{joe.pk}", "upsert")
        assert message.sequence > 0

    def test_nothing_of_it_stays_in_the_outbox_or_reaches_a_log(self) -> None:
        with in_memory_log(RELAY="inline") as log, self.capture_published():
            Person.objects.create(first_name="Joe")
        assert not OutboxRow.objects.exists()
        assert log.records("people") == []

    def test_what_was_pending_before_stays_where_it_is(self) -> None:
        with self.settings(LOGPIPE={"RELAY": "worker"}):  # type: ignore[attr-defined]
            Person.objects.create(first_name="Before")
        with self.capture_published() as published:
            Person.objects.create(first_name="Joe")
        assert len(published) == 1
        assert OutboxRow.objects.count() == 1

    def test_what_on_commit_hooks_save_is_captured(self) -> None:
        with self.capture_published() as published, transaction.atomic():
            transaction.on_commit(lambda: Person.objects.create(first_name="Later"))
            Person.objects.create(first_name="Joe")
        assert sorted(message.message["first_name"] for message in published) == ["Joe", "Later"]

    def test_what_is_rolled_back_is_not_captured(self) -> None:
        with self.capture_published() as published:
            try:
                with transaction.atomic():
                    Person.objects.create(first_name="Joe")
                    raise LookupError
            except LookupError:
                pass
        self.assert_nothing_published(published)

    def test_a_delete_is_captured(self) -> None:
        joe = Person.objects.create(first_name="Joe")
        OutboxRow.objects.all().delete()
        with self.capture_published() as published:
            joe.delete()
        published.assert_one(type="person.deleted", message={"uuid": str(joe.uuid)}, deleted=True)

    def test_a_burst_of_saves_is_one_message_as_it_will_be(self) -> None:
        with self.capture_published() as published:
            joe = Person.objects.create(first_name="Joe")
            joe.first_name = "Joseph"
            joe.save()
        published.assert_one(type="person", fields={"first_name": "Joseph"})

    def test_many_to_many_relations_and_nested_serializers_are_captured(self) -> None:
        with self.capture_published() as published:
            country = Country.objects.create(code="IS", name="Iceland")
            city = City.objects.create(geoname_id=1, name="Reykjavík", country=country, latitude=64, longitude=-22)
            city.tags.add(Tag.objects.create(name="cold"))
        published.assert_count(1, topic="countries")
        published.assert_one(topic="cities", fields={"tags": ["cold"], "country": {"code": "IS", "name": "Iceland"}})

    def test_a_row_that_cannot_be_serialised_raises_with_its_cause(self) -> None:
        refused = pytest.raises(NotPublishable, match="no guests today")
        with _publication(Raising), refused as caught, self.capture_published():
            Visit.objects.create(guest="Joe")
        assert isinstance(caught.value.__cause__, LookupError)
        assert not OutboxRow.objects.filter(publication="capturing").exists()

    def test_or_is_told_where_the_test_wants_to_look_at_it(self) -> None:
        with _publication(Raising), self.capture_published(raise_errors=False) as published:
            Visit.objects.create(guest="Joe")
        assert [type(error) for error in published.errors] == [LookupError]

    def test_a_change_that_is_its_own_message_is_captured_each_time(self) -> None:
        with _publication(Guest, payload="change"), self.capture_published() as published:
            visit = Visit.objects.create(guest="Joe")
            visit.guest = "Jane"
            visit.save()
        assert [each.message["guest"] for each in published.of(topic="capturing")] == ["Joe", "Jane"]


class InATestCase(Promises, TestCase):
    pass


class InATransactionTestCase(Promises, TransactionTestCase):
    pass


class Guest(serializers.ModelSerializer):
    MESSAGE_TYPE = "guest"
    VERSION = 1

    class Meta:
        model = Visit
        fields = ["id", "guest"]


class Raising(Guest):
    guest = serializers.SerializerMethodField()  # type: ignore[assignment]

    def get_guest(self, instance: Visit) -> str:
        raise LookupError("no guests today")


class _publication:  # noqa: N801  (reads as a verb's object)
    def __init__(self, serializer_class: type, **options: str) -> None:
        self._declare = publishes("capturing", serializer_class, name="capturing", **options)

    def __enter__(self) -> None:
        self._declare(Visit)

    def __exit__(self, *exc_info: object) -> None:
        publications.forget(publications["capturing"])


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_every_database_the_test_may_use_is_looked_at() -> None:
    with capture_published() as published:
        Person.objects.using("default").create(first_name="Joe")
    published.assert_one(fields={"first_name": "Joe", "uuid": ANY})


@pytest.mark.django_db
def test_an_exception_of_the_block_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), capture_published():
        Person.objects.create(first_name=str(1 / 0))


def test_a_log_in_memory_is_empty_before_and_after() -> None:
    dummy.create_topic("left")
    with in_memory_log() as log:
        assert dummy.partitions_of("left") == []
        log.create_topic("people", partitions=3)
    assert dummy.partitions_of("people") == []
