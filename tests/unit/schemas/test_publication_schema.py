"""manage.py publication_schema: drift fails with the field's name and whom it breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework import serializers

from logpipe_signals.checks import check_schemas, check_settings
from logpipe_signals.registry import publications, publishes, subscribes
from testproject.people.models import Person
from tests.conftest import ChangeSettings

Declare = Callable[..., Any]


class PersonV1(serializers.Serializer):
    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"

    uuid = serializers.UUIDField()
    first_name = serializers.CharField(max_length=200)
    email = serializers.EmailField(required=False, default="")

    @classmethod
    def lookup_instance(cls, uuid: str, **kwargs: Any) -> None:
        return None


def variant(*without: str, base: type[Any] = PersonV1, version: int = 1, key: str | None = None, **fields: Any) -> Any:
    """Return the serializer with some fields removed, added or changed."""
    members = dict.fromkeys(without) | fields
    if key is not None:
        members["KEY_FIELD"] = key
    return type(f"PersonV{version}", (base,), {**members, "VERSION": version})


def publish(*serializer_classes: Any, **options: Any) -> None:
    for publication in publications:
        publications.forget(publication)
    for serializer_class in serializer_classes:
        publishes("people", serializer_class, name="contract", **options)(Person)


@pytest.fixture
def lock_file(tmp_path: Path, logpipe_settings: ChangeSettings) -> Path:
    path = tmp_path / "messages.lock.json"
    logpipe_settings(SCHEMA_LOCK=str(path))
    return path


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("publication_schema", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def refused(*arguments: str) -> str:
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("publication_schema", *arguments, stdout=out, stderr=out)
    assert caught.value.returncode == 1
    return out.getvalue() + str(caught.value)


# --- the project's own lock -------------------------------------------------------------------------------------------


def test_what_was_written_passes_the_check(lock_file: Path) -> None:
    publish(PersonV1)
    assert "2 messages" in run()
    assert "2 messages fit" in run("--check")


def test_the_lock_file_is_the_same_whenever_it_is_written(lock_file: Path) -> None:
    publish(PersonV1)
    run()
    first = lock_file.read_text()
    assert "up to date" in run()
    assert lock_file.read_text() == first
    assert first.count("\n") > 20


def test_the_lock_file_holds_schema_and_key_by_topic_type_and_version(lock_file: Path) -> None:
    publish(PersonV1, variant(version=2))
    run()
    locked = json.loads(lock_file.read_text())
    assert list(locked["sent"]["people"]["person"]) == ["1", "2"]
    assert locked["sent"]["people"]["person"]["1"]["key"] == "uuid"
    assert locked["sent"]["people"]["person.deleted"]["1"]["schema"]["required"] == ["uuid"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (variant("email"), ["'email' was removed; it was optional (FULL)", "Compatibility: FULL"]),
        (
            variant("first_name"),
            ["'first_name' was removed; it was required", "FORWARD broken", "Compatibility: BACKWARD"],
        ),
        (
            variant(nickname=serializers.CharField()),
            ["'nickname' was added, required", "BACKWARD broken", "Compatibility: FORWARD"],
        ),
        (
            variant(first_name=serializers.CharField(max_length=100)),
            ["'first_name' had maxLength 200, has 100", "BACKWARD broken", "Compatibility: FORWARD"],
        ),
        (
            variant(first_name=serializers.IntegerField()),
            ["'first_name' was string, is integer", "BACKWARD broken", "FORWARD broken", "Compatibility: NONE"],
        ),
        (variant(key="first_name"), ["has the key 'first_name', and had 'uuid'", "Compatibility: NONE"]),
    ],
)
def test_a_shape_that_changed_without_a_new_version_fails_the_check(
    changed: Any, expected: list[str], lock_file: Path
) -> None:
    publish(PersonV1)
    run()
    publish(changed)
    said = refused("--check")
    assert [
        text for text in ["'person' version 1 on 'people' changed", "VERSION = 2", *expected] if text not in said
    ] == []


def test_the_check_writes_nothing(lock_file: Path) -> None:
    publish(PersonV1)
    run()
    before = lock_file.read_text()
    publish(variant("email"))
    refused("--check")
    assert lock_file.read_text() == before


def test_writing_says_what_changed(lock_file: Path) -> None:
    publish(PersonV1)
    run()
    publish(variant("first_name"))
    assert "'first_name' was removed" in run()
    assert "fit" in run("--check")


def test_a_new_version_adds_an_entry_and_is_compared_with_the_one_before(lock_file: Path) -> None:
    publish(PersonV1)
    run()
    publish(PersonV1, variant("first_name", version=2))
    said = refused("--check")
    assert "'person' version 2 on 'people' is not in the lock file yet" in said
    assert "against version 1: BACKWARD" in said
    run()
    assert "fit" in run("--check")


def test_a_version_that_went_away_is_told_with_who_still_reads_it(lock_file: Path) -> None:
    publish(PersonV1, variant(version=2))
    subscribes("people")(PersonV1)
    run()
    publish(variant(version=2))
    said = refused("--check")
    assert "'person' version 1 on 'people' is in the lock file, and is sent no longer (version 2 is)" in said
    assert "This project itself still reads it." in said


def test_what_is_accepted_is_held_to_the_lock_too(lock_file: Path) -> None:
    subscribes("people")(PersonV1)
    run()
    subscribes_only(variant(nickname=serializers.CharField()))
    said = refused("--check")
    assert "'person' version 1 from 'people' changed" in said
    assert "'nickname' was added, required (BACKWARD broken" in said


def subscribes_only(*serializer_classes: Any, **options: Any) -> None:
    from logpipe_signals.registry import subscriptions

    subscriptions.clear()
    for serializer_class in serializer_classes:
        subscribes("people", **options)(serializer_class)


@pytest.mark.parametrize(
    ("wanted", "fails"), [("NONE", False), ("BACKWARD", False), ("FORWARD", True), ("BACKWARD_TRANSITIVE", True)]
)
def test_a_new_version_owes_what_the_setting_asks_for(
    wanted: str, fails: bool, lock_file: Path, logpipe_settings: ChangeSettings
) -> None:
    publish(variant(uuid=serializers.CharField(max_length=50)), variant(version=2))
    run()
    # Compared with version 2 a required field is removed; with version 1 a format comes besides.
    publish(variant(uuid=serializers.CharField(max_length=50)), variant(version=2), variant("first_name", version=3))
    logpipe_settings(SCHEMA_COMPATIBILITY=wanted)
    assert (f"asks for {wanted}" in refused("--check")) == fails


def test_a_missing_lock_file_is_an_error_that_names_the_cure(lock_file: Path) -> None:
    publish(PersonV1)
    assert "publication_schema" in refused("--check")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1, "sent": {"t": 3}}'])
def test_a_file_that_is_no_lock_file_is_told(text: str, lock_file: Path) -> None:
    publish(PersonV1)
    lock_file.write_text(text)
    assert str(lock_file) in refused("--check")


def test_two_shapes_of_one_version_on_one_topic_are_refused(lock_file: Path) -> None:
    publish(PersonV1)
    publishes("people", variant("email"), name="another")(Person)
    assert "has two shapes" in refused()


def test_by_default_the_lock_file_is_in_the_projects_folder(settings: Any, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    publish(PersonV1)
    run()
    assert (tmp_path / "logpipe-schema.lock.json").exists()


# --- a consumer and its publisher's lock ------------------------------------------------------------------------------


@pytest.fixture
def publishers_lock(tmp_path: Path) -> Path:
    path = tmp_path / "publisher.lock.json"
    publish(PersonV1, variant("email", version=2))
    run("--lock", str(path))
    publish()
    return path


def test_a_consumer_that_reads_what_is_sent_passes(publishers_lock: Path) -> None:
    subscribes_only(PersonV1, variant("email", version=2))
    assert "fit" in run("--check", "--against", str(publishers_lock))


def test_a_consumer_that_needs_what_is_not_sent_fails_with_the_fields_name(publishers_lock: Path) -> None:
    subscribes_only(variant(nickname=serializers.CharField()))
    said = refused("--check", "--against", str(publishers_lock))
    assert "field 'nickname': it is not sent, and is required" in said


def test_a_consumer_with_less_room_fails_with_the_fields_name(publishers_lock: Path) -> None:
    subscribes_only(variant(first_name=serializers.CharField(max_length=20)))
    said = refused("--check", "--against", str(publishers_lock))
    assert "field 'first_name': 200 characters may be sent, and 20 are the most taken" in said


def test_a_consumer_that_needs_a_field_declared_optional_but_always_sent_passes(publishers_lock: Path) -> None:
    subscribes_only(variant(email=serializers.CharField(allow_blank=True)))
    assert "fit" in run("--check", "--against", str(publishers_lock))


def test_a_consumer_of_a_version_nobody_sends_fails(publishers_lock: Path) -> None:
    subscribes_only(variant(version=3))
    assert "the publisher sends version 1, 2 only" in refused("--check", "--against", str(publishers_lock))


def test_a_version_nobody_here_reads_is_told_and_fails_nothing(publishers_lock: Path) -> None:
    subscribes_only(PersonV1)
    said = run("--check", "--against", str(publishers_lock))
    assert "'person' version 2 from 'people' is sent by the publisher, and not read here (version 1 is)" in said


def test_an_upcaster_counts_as_reading_its_version(publishers_lock: Path) -> None:
    subscribes_only(variant("email", version=2), upcast={1: lambda message: message})
    assert "not read" not in run("--check", "--against", str(publishers_lock))


def test_a_lookup_that_needs_more_than_a_delete_holds_fails(publishers_lock: Path) -> None:
    def lookup_instance(cls: Any, uuid: str, first_name: str, **kwargs: Any) -> None: ...

    subscribes_only(variant(lookup_instance=classmethod(lookup_instance)))
    said = refused("--check", "--against", str(publishers_lock))
    assert "'person.deleted' version 1 from 'people'" in said
    assert "field 'first_name': it is not sent, and is required" in said


def test_topics_of_other_publishers_are_passed_over(publishers_lock: Path) -> None:
    subscribes("elsewhere")(PersonV1)
    assert "fit" in run("--check", "--against", str(publishers_lock))


def test_consumers_built_by_functions_are_held_to_it_too(publishers_lock: Path) -> None:
    from logpipe_signals import Consumer, register_consumer

    @register_consumer
    def people() -> Consumer:
        consumer = Consumer("people")
        consumer.register(variant(nickname=serializers.CharField()))
        return consumer

    assert "'nickname'" in refused("--check", "--against", str(publishers_lock))


def test_pinned_publishers_are_a_system_check(publishers_lock: Path, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_PUBLISHERS=[str(publishers_lock)])
    subscribes_only(variant(nickname=serializers.CharField()))
    found = {message.id: message.msg for message in check_schemas()}
    assert "'nickname'" in found["logpipe_signals.E040"]
    assert found.keys() == {"logpipe_signals.E040", "logpipe_signals.I040"}


def test_a_pinned_file_that_is_missing_is_a_system_check(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_PUBLISHERS="nowhere.json")
    assert [message.id for message in check_schemas()] == ["logpipe_signals.E041"]


def test_without_pinned_publishers_nothing_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "drf_spectacular", None)
    assert check_schemas() == []


def test_settings_that_are_no_choice_are_a_system_check(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(SCHEMA_COMPATIBILITY="SIDEWAYS", SCHEMA_VALIDATION="always")
    assert [m.id for m in check_settings() if "SCHEMA" in m.msg] == ["logpipe_signals.E012"] * 2


def test_against_without_check_is_refused() -> None:
    with pytest.raises(CommandError, match="add --check"):
        call_command("publication_schema", "--against", "x")


# --- other formats ----------------------------------------------------------------------------------------------------


def test_json_schemas_are_shown_or_written_one_a_message(tmp_path: Path) -> None:
    publish(PersonV1)
    shown = json.loads(run("--format", "jsonschema"))
    assert list(shown) == ["sent/people/person.v1.json", "sent/people/person.deleted.v1.json"]
    run("--format", "jsonschema", "--output", str(tmp_path / "schemas"))
    written = json.loads((tmp_path / "schemas/sent/people/person.v1.json").read_text())
    assert written == shown["sent/people/person.v1.json"]


def test_a_field_whose_type_cannot_be_told_is_named_with_the_cure(lock_file: Path) -> None:
    publish(variant(odd=type("Odd", (serializers.Field,), {})()))
    assert "the type of field 'odd' cannot be told" in run()
