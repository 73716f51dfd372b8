"""Each thing that would lose or stop messages has a finding of its own, with the cure in its hint."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connections
from rest_framework import serializers

from logpipe_signals.checks import (
    check_commits,
    check_databases,
    check_publications,
    check_settings,
    check_subscriptions,
)
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.registry import publications, publishes, subscriptions
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.conftest import ChangeSettings
from tests.zoo.models import Animal, Cage, Carp, Fish, UuidKeyed, Visit


class Good(serializers.ModelSerializer):
    MESSAGE_TYPE = "good"
    VERSION = 1

    class Meta:
        model = Visit
        fields = ["id", "guest"]

    @classmethod
    def lookup_instance(cls, id: int, **kwargs: Any) -> None:  # noqa: A002  (the field's name)
        return None


@pytest.fixture(autouse=True)
def _forget_declarations() -> Iterator[None]:
    before, problems = set(publications), list(publications.problems)
    abstract = list(publications._abstract)
    subscribed, factories = list(subscriptions), subscriptions.factories()
    yield
    for publication in set(publications) - before:
        publications.forget(publication)
    publications.problems[:] = problems
    publications._abstract[:] = abstract
    subscriptions.clear()
    subscriptions._declared[:] = subscribed
    for factory in factories:
        subscriptions.add_factory(factory)


def ids(found: list[checks.CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("logpipe_signals.") for message in found]


def only(found: list[checks.CheckMessage], check_id: str) -> checks.CheckMessage:
    assert ids(found) == [check_id]
    assert found[0].hint, "every finding names its cure"
    return found[0]


# --- publications -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(databases="__all__")
def test_the_test_project_is_sound() -> None:
    assert [message for message in checks.run_checks() if str(message.id).startswith("logpipe_signals")] == []


def without(attribute: str) -> type[Any]:
    return type("Bad", (Good,), {attribute: None})


@pytest.mark.parametrize(
    ("serializer", "said"),
    [
        (without("MESSAGE_TYPE"), "has no MESSAGE_TYPE"),
        (without("VERSION"), "has VERSION = None"),
        (type("Bad", (Good,), {"VERSION": 0}), "has VERSION = 0"),
        (type("Bad", (Good,), {"VERSION": "1"}), "has VERSION = '1'"),
        (type("Bad", (Good,), {"VERSION": True}), "has VERSION = True"),
        ("tests.zoo.serializers.Nothing", "'tests.zoo.serializers.Nothing', which does not import"),
        ("nowhere.Nothing", "'nowhere.Nothing', which does not import"),
    ],
)
def test_a_serializer_that_breaks_the_rules(serializer: Any, said: str) -> None:
    publishes("checked", serializer)(Visit)
    assert said in only(check_publications(), "E001").msg


def test_a_key_field_that_is_no_field() -> None:
    publishes("checked", type("Bad", (Good,), {"KEY_FIELD": "uuid"}))(Visit)
    found = only(check_publications(), "E002")
    assert "'uuid'" in found.msg
    assert "id, guest" in str(found.hint)


def test_declarations_that_contradict_each_other() -> None:
    publishes("checked", Good)(Visit)
    publishes("checked", Good, delete="ignore")(Visit)
    assert "different options" in only(check_publications(), "E003").msg


def test_a_name_given_twice() -> None:
    publishes("checked", Good, name="mine")(Visit)
    publishes("other", Good, name="mine")(Visit)
    assert "named 'mine'" in only(check_publications(), "E003").msg


def test_a_type_and_version_sent_twice_to_a_topic() -> None:
    publishes("checked", Good)(Visit)
    publishes("checked", type("Copy", (Good,), {}))(Person)
    found = only(check_publications(), "E004")
    assert "'people.person:checked', 'zoo.visit:checked'" in found.msg


def test_a_type_and_version_sent_twice_from_one_model() -> None:
    publishes("checked", Good)(Visit)
    publishes("checked", type("Copy", (Good,), {}))(Visit)
    assert ids(check_publications()) == ["E004"]


def test_children_of_an_abstract_model_whose_primary_keys_may_be_equal() -> None:
    carp = publications.for_model(Carp)[0]
    assert carp.declared_by is Fish
    publications.declare(
        Visit, carp.topic, carp.serializer_classes[0], name=None, options=carp.options, declared_by=Fish
    )
    assert ids(check_publications()) == ["E004"]


def test_an_unknown_way_to_delete() -> None:
    publishes("checked", Good, delete="softly")(Visit)
    assert "'softly'" in only(check_publications(), "E005").msg


def test_an_unknown_option_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="colour"):
        publishes("checked", Good, colour="red")


def test_a_tombstone_of_a_key_that_rows_share() -> None:
    publishes("checked", type("Shared", (Good,), {"KEY_FIELD": "guest"}), delete="tombstone")(Visit)
    assert "several rows may share a key" in only(check_publications(), "E006").msg


@pytest.mark.parametrize("model", [UuidKeyed, Animal])
def test_a_tombstone_of_a_unique_key_is_sound(model: Any) -> None:
    declared = publications.for_model(model)[0]
    other = type("Other", (declared.serializer_classes[0],), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, delete="tombstone")(model)
    assert check_publications() == []


def test_a_tombstone_on_a_log_that_has_none(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.kinesis.Producer")
    publishes("checked", Good, delete="tombstone")(Visit)
    assert "which has none" in only(check_publications(), "E021").msg


def test_a_lookup_field_that_is_no_field() -> None:
    publishes("checked", Good, lookup_fields=["nickname"])(Visit)
    assert "'nickname'" in only(check_publications(), "E007").msg


def test_a_delete_message_that_would_say_nothing() -> None:
    class Nameless(serializers.ModelSerializer):
        MESSAGE_TYPE = "nameless"
        VERSION = 1

        class Meta:
            model = Visit
            fields = ["guest"]

    publishes("checked", Nameless)(Visit)
    assert ids(check_publications()) == ["E008"]


@pytest.mark.parametrize(
    "options",
    [{"select_related": ["nobody"]}, {"prefetch_related": ["nobody"]}, {"prefetch_related": ["cage__nobody"]}],
)
def test_a_relation_that_is_not_there(options: dict[str, Any]) -> None:
    other = type("Other", (publications.for_model(Animal)[0].serializer_classes[0],), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, **options)(Animal)
    assert "nobody" in only(check_publications(), "E009").msg


def test_a_manager_that_does_not_publish_sets() -> None:
    class CageSerializer(serializers.ModelSerializer):
        MESSAGE_TYPE = "cage"
        VERSION = 1

        class Meta:
            model = Cage
            fields = ["id", "name"]

    publishes("checked", CageSerializer)(Cage)
    found = only(check_publications(), "W006")
    assert "zoo.Cage.objects" in found.msg
    assert "PublishingManager" in str(found.hint)


def test_a_watched_field_that_is_not_there() -> None:
    publishes("checked", Good, watch=["nobody"])(Visit)
    assert "nobody" in only(check_publications(), "E016").msg


@pytest.mark.parametrize("path", ["nobody", "guest", "cage__nobody"])
def test_a_related_path_that_leads_nowhere(path: str) -> None:
    other = type("Other", (publications.for_model(Animal)[0].serializer_classes[0],), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, related=[path])(Animal)
    assert path.rpartition("__")[2] in only(check_publications(), "E017").msg


def test_a_related_model_whose_sets_are_not_published() -> None:
    other = type("Other", (publications.for_model(Animal)[0].serializer_classes[0],), {"MESSAGE_TYPE": "other"})
    publishes("checked", other, related=["cage"])(Animal)
    assert "zoo.Cage" in only(check_publications(), "W007").msg


# --- subscriptions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def one_database(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(CONSUMER_DATABASE="default")


def test_rows_that_are_not_where_the_positions_are(logpipe_settings: ChangeSettings) -> None:
    subscriptions.clear()
    subscriptions.subscribe("checked", Good)
    logpipe_settings(CONSUMER_DATABASE="subscriber")
    found = only(check_subscriptions(), "E024")
    assert "on database 'default'" in found.msg
    assert "on 'subscriber'" in found.msg
    assert "CONSUMER_DATABASE" in str(found.hint)


def test_rows_beside_positions_that_no_transaction_keeps(logpipe_settings: ChangeSettings) -> None:
    subscriptions.clear()
    subscriptions.subscribe("checked", Good)
    logpipe_settings(CONSUMER_DATABASE="subscriber", OFFSET_BACKEND="logpipe_signals.backend.kafka.KafkaOffsetStore")
    assert check_subscriptions() == []


@pytest.mark.usefixtures("one_database")
def test_a_subscription_that_breaks_the_rules() -> None:
    subscriptions.clear()
    subscriptions.subscribe("checked", without("VERSION"))
    assert "VERSION" in only(check_subscriptions(), "E010").msg


@pytest.mark.usefixtures("one_database")
def test_a_subscription_that_cannot_find_rows() -> None:
    subscriptions.clear()
    subscriptions.subscribe("checked", PersonSerializer)
    if hasattr(PersonSerializer, "lookup_instance"):
        pytest.skip("the test project's serializer finds rows")
    assert "lookup_instance" in str(only(check_subscriptions(), "W003").hint)


@pytest.mark.usefixtures("one_database")
def test_two_subscriptions_to_one_version() -> None:
    subscriptions.clear()
    subscriptions.subscribe("checked", Good)
    subscriptions.subscribe("checked", type("Copy", (Good,), {}))
    assert "2 subscriptions" in only(check_subscriptions(), "E011").msg


# --- settings ---------------------------------------------------------------------------------------------------------


def test_an_unknown_setting_names_the_nearest(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(RELAI="worker")
    assert only(check_settings(), "W001").hint == "Did you mean 'RELAY'?"


@pytest.mark.parametrize("name", ["RELAY", "KAFKA_FENCING"])
def test_a_choice_that_is_none(logpipe_settings: ChangeSettings, name: str) -> None:
    logpipe_settings(**{name: "sometimes"})
    assert "'sometimes'" in only(check_settings(), "E012").msg


def test_a_backend_that_does_not_import(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.nowhere.Producer")
    assert "nowhere" in only(check_settings(), "E013").msg


def test_a_backends_own_findings(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    from logpipe_signals import backend

    finding = checks.Error("No brokers.", hint="Name some.", id="logpipe_signals.E199")
    monkeypatch.setattr(backend.producer_class(), "check", classmethod(lambda cls: [finding]))
    assert finding in check_settings()


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_deployment_says_who_sends(logpipe_settings: ChangeSettings) -> None:
    def said() -> list[str]:
        found = checks.run_checks(tags=["logpipe_signals"], include_deployment_checks=True)
        return [str(message.hint) for message in found if message.id == "logpipe_signals.W004"]

    logpipe_settings(RELAY="inline")
    assert "run_relay" in said()[0]
    logpipe_settings(RELAY="worker")
    assert said() == []


# --- databases --------------------------------------------------------------------------------------------------------


def refuse_everything(db: str, app_label: str, **hints: Any) -> bool | None:
    return False if app_label == "logpipe_signals" else None


# Django's own checks ask SQLite, once a process, whether it knows JSON.
@pytest.mark.django_db(databases="__all__")
def test_a_router_that_refuses_the_outbox(settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.unit.test_checks.RefusingRouter"]
    found = [m for m in checks.run_checks() if m.id == "logpipe_signals.E015"]
    assert "tests.unit.test_checks.RefusingRouter.allow_migrate" in found[0].msg
    assert "--database=default" in str(found[0].hint)


class RefusingRouter:
    """Refuses what it does not know."""

    allow_migrate = staticmethod(refuse_everything)


@pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])
def test_an_outbox_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with connections["default"].schema_editor() as editor:
        editor.delete_model(OutboxRow)
    try:
        assert check_databases() == []
        found = only(check_databases(databases=["default"]), "E014")
        assert found.hint == "Run manage.py migrate logpipe_signals --database=default"
        assert "people.Person" in found.msg
        monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
        assert check_databases(databases=["default"]) == []
    finally:
        with connections["default"].schema_editor() as editor:
            editor.create_model(OutboxRow)


@pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])
def test_a_save_without_an_outbox_names_the_cure() -> None:
    with connections["default"].schema_editor() as editor:
        editor.delete_model(OutboxRow)
    try:
        with pytest.raises(Exception, match="outboxrow") as caught:
            Visit.objects.create(guest="Joe")
        assert "manage.py migrate logpipe_signals --database=default" in caught.value.__notes__[0]
        assert not Visit.objects.exists()
    finally:
        with connections["default"].schema_editor() as editor:
            editor.create_model(OutboxRow)


@pytest.mark.django_db(databases=["default"])
def test_another_number_of_lanes_than_the_settings_say(logpipe_settings: ChangeSettings) -> None:
    stored = Source.objects.get().lanes
    assert check_databases(databases=["default"]) == []
    logpipe_settings(LANES=stored + 1)
    assert f"= {stored}:" in str(only(check_databases(databases=["default"]), "W002").hint)


def test_a_database_whose_commits_are_made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_commits() == []
    monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)
    found = only(check_commits(), "W010")
    assert "Database 'default' holds" in found.msg
    assert "RELAY_POLL_SECONDS" in str(found.hint)


@pytest.mark.django_db(databases=["default", "subscriber"])
def test_the_check_command_passes_on_both_sides() -> None:
    call_command("check", databases=["default", "subscriber"])
