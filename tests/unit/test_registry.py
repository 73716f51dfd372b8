"""Declaring publications: names, versions, abstract models, and nothing resolved before the apps are ready."""
# ruff: noqa: DJ008  (nobody reads their names)

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import models
from django.test.utils import isolate_apps

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry import Publication, load_serializer, publications, publishes, subscribes, subscriptions
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.zoo.models import Animal, Carp, Dog, HeadKeeper, Keeper, Koi, Passport, Pet, Seat, Visit


@pytest.fixture(autouse=True)
def _forget_declarations() -> Iterator[None]:
    before, abstract = set(publications), list(publications._abstract)
    yield
    for publication in set(publications) - before:
        publications.forget(publication)
    publications._abstract[:] = abstract


def of(model: type[models.Model], topic: str) -> Publication:
    return next(p for p in publications.for_model(model) if p.topic == topic)


def test_a_name_comes_from_app_model_and_topic() -> None:
    publishes("declared", PersonSerializer)(Person)
    assert publications.get("people.person:declared") is of(Person, "declared")


def test_a_name_can_be_given() -> None:
    publishes("declared", PersonSerializer, name="mine")(Person)
    assert publications.get("mine") is of(Person, "declared")
    assert publications.get("of another release") is None


def test_two_versions_on_a_topic_are_one_publication_oldest_first() -> None:
    assert [cls.VERSION for cls in of(Visit, "visits").serializer_classes] == [1, 2]


def test_a_dotted_path_is_resolved_when_it_is_asked_for() -> None:
    publishes("declared", "nowhere.Serializer")(Person)
    with pytest.raises(DeclarationError, match=r"'nowhere\.Serializer', which does not import"):
        _ = of(Person, "declared").serializer_classes


def test_a_class_and_its_path_are_held_to_the_same_rules() -> None:
    assert load_serializer("testproject.people.serializers.PersonSerializer", "A test") is PersonSerializer
    with pytest.raises(DeclarationError, match="A test: Bare has no MESSAGE_TYPE"):
        load_serializer(type("Bare", (), {}), "A test")


def test_a_table_is_shared_by_a_model_and_its_proxies() -> None:
    assert publications.for_model(Pet) == publications.for_model(Animal)
    assert publications.for_model(Keeper) == publications.for_model(HeadKeeper)
    assert not set(publications.for_model(Dog)) & set(publications.for_model(Animal))


def test_an_abstract_model_declares_for_its_children_and_not_for_theirs() -> None:
    assert [p.model for p in publications.for_model(Carp)] == [Carp]
    assert publications.for_model(Koi) == ()


@isolate_apps("tests.zoo")
def test_an_abstract_model_declared_late_finds_the_children_it_has() -> None:
    class Base(models.Model):
        class Meta:
            abstract = True
            app_label = "zoo"

    class Early(Base):
        class Meta:
            app_label = "zoo"

    publishes("declared", PersonSerializer)(Base)

    class Late(Base):
        class Meta:
            app_label = "zoo"

    assert [p.name for p in publications if p.topic == "declared"] == ["zoo.early:declared", "zoo.late:declared"]


def test_the_key_is_a_column_where_it_can_be() -> None:
    assert of(Person, "people").key_column is Person._meta.get_field("uuid")
    assert of(Passport, "passports").key_column is Passport._meta.get_field("owner")
    assert of(Dog, "dogs").key_column is Dog._meta.get_field("code")


def test_lookup_fields_are_what_lookup_instance_asks_for_else_the_key() -> None:
    assert of(Seat, "seats").lookup_fields == ("show", "number")
    assert of(Person, "people").lookup_fields == ("uuid",)
    assert of(Visit, "visits").lookup_fields == ("id",)


def test_a_list_is_as_good_as_a_tuple() -> None:
    publishes("declared", PersonSerializer, select_related=["a"])(Person)
    publishes("declared", PersonSerializer, select_related=("a",))(Person)
    assert publications.problems == []


def test_subscribing_twice_is_once() -> None:
    before = list(subscriptions)
    try:
        subscribes("declared")(PersonSerializer)
        subscribes("declared")(PersonSerializer)
        assert subscriptions.by_topic()["declared"] == (PersonSerializer,)
    finally:
        subscriptions._declared[:] = before
