"""The examples of docs/extending.rst do what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from logpipe_signals import formats, publishes, subscribes
from logpipe_signals.checks import check_extensions, check_settings
from logpipe_signals.exceptions import UnknownFormatError
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.publishing.relay import drain
from logpipe_signals.registry import publications, subscriptions
from logpipe_signals.testing import MemoryLog, capture_published, deliver, make_record
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.conftest import ChangeSettings

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
ROOT = Path(__file__).parents[2]


@pytest.fixture
def keyed() -> Iterator[None]:
    """Publish people by their initial, with their tenant."""
    publishes(
        "staff",
        PersonSerializer,
        name="extended",
        key="tests.extending.providers.by_initial",
        headers="tests.extending.providers.tenant_of",
        lookup_fields=("uuid",),
    )(Person)
    yield
    publications.forget(publications["extended"])


def joe(**values: str) -> Person:
    return Person.objects.create(**{"first_name": "Joe", "last_name": "Schmoe", "email": "joe@acme.org", **values})


def test_a_key_provider_chooses_the_key_and_a_header_provider_adds_headers(keyed: None) -> None:
    with capture_published() as published:
        saved = joe()
    message = published.assert_one(topic="staff", key="S")
    assert message.headers == {"tenant": "acme.org"}
    assert message.identity == f"person:{saved.pk}"


def test_a_key_that_changes_is_moved_and_its_row_stays(keyed: None) -> None:
    saved = joe()
    OutboxRow.objects.all().delete()
    with capture_published() as published:
        saved.last_name = "Miller"
        saved.save()
    # The row is found by its uuid: to delete it under the old key would delete it.
    published.assert_one(topic="staff", key="M", type="person")
    published.assert_none(topic="staff", key="S")


def test_a_delete_leaves_under_the_key_its_row_had(keyed: None) -> None:
    saved = joe()
    OutboxRow.objects.all().delete()
    with capture_published() as published:
        saved.delete()
    published.assert_one(topic="staff", key="S", type="person.deleted", message={"uuid": str(saved.uuid)})


def test_set_wise_writes_have_the_providers_key(keyed: None) -> None:
    with capture_published() as published:
        ann, bo = Person(first_name="Ann", last_name="Adams"), Person(first_name="Bo", last_name="Bo")
        Person.objects.bulk_create([ann, bo])
        Person.objects.filter(first_name="Bo").update(last_name="Zed")
    assert sorted(message.key for message in published.of(topic="staff", type="person")) == ["A", "Z"]


def test_backfills_have_the_providers_key(keyed: None, logpipe_log: MemoryLog) -> None:
    joe()
    OutboxRow.objects.all().delete()
    call_command("republish_all", "extended", verbosity=0)
    logpipe_log.relay()
    logpipe_log.published("staff").assert_one(key="S", type="person")


def test_a_provider_that_raises_is_a_dead_letter_and_no_failed_save(logpipe_log: MemoryLog, keyed: None) -> None:
    publications["extended"].__dict__["key_provider"] = lambda person: person.nonsense
    joe()
    drain()
    letter = DeadLetter.objects.get()
    assert (letter.publication, letter.reason) == ("extended", "AttributeError")


def test_a_policy_decides_by_record_and_error() -> None:
    subscribed = list(subscriptions)
    subscribes("staff", on_error="tests.extending.policies.keep_what_can_be_mended")(PersonCopySerializer)
    try:
        body = {"uuid": "00000000-0000-4000-8000-000000000001", "last_name": "Schmoe", "email": ""}
        invalid = make_record("staff", "person", body)
        hopeless = make_record("staff", "person", "no object")
        assert len(deliver(invalid, hopeless, raise_errors=False).errors) == 2
        assert [letter.reason for letter in DeadLetter.objects.using("subscriber").all()] == ["ValidationError"]
    finally:
        subscriptions._declared[:] = subscribed


class Breaking(PersonCopySerializer):
    def create(self, validated_data: Any) -> Any:
        raise ZeroDivisionError


def test_a_policy_may_stop_the_consumer() -> None:
    from logpipe_signals import Consumer

    consumer = Consumer("staff", on_error="tests.extending.policies.keep_what_can_be_mended")
    consumer.register(Breaking)
    body = {"uuid": "00000000-0000-4000-8000-000000000001", "first_name": "J", "last_name": "S", "email": ""}
    with pytest.raises(ZeroDivisionError):
        deliver(make_record("staff", "person", body), to=consumer, raise_errors=False)


@pytest.mark.parametrize("policy", [lambda record, error: 1 / 0, lambda record, error: "perhaps", "no.such.path"])
def test_a_policy_that_cannot_decide_keeps_the_record(policy: Any) -> None:
    from logpipe_signals import Consumer

    consumer = Consumer("staff", on_error=policy)
    consumer.register(PersonCopySerializer)
    deliver(make_record("staff", "person", {"uuid": "no"}), to=consumer, raise_errors=False)
    assert DeadLetter.objects.using("subscriber").count() == 1


def test_a_format_is_named_by_its_path(logpipe_log: MemoryLog, logpipe_settings: ChangeSettings) -> None:
    paths = ("tests.extending.wire.LinesRenderer", "tests.extending.wire.LinesParser")
    logpipe_settings(FORMATS={"lines": paths}, DEFAULT_FORMAT="lines")
    try:
        joe()
        logpipe_log.run()
        (record,) = logpipe_log.records("people")
        assert (record.value or b"").startswith(b'lines:type="person"\nversion=1\n')
        assert PersonCopy.objects.get().first_name == "Joe"
    finally:
        formats.unregister("lines")


def test_a_format_that_does_not_load_is_told(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(FORMATS={"lines": ("no.such.Renderer", "no.such.Parser")})
    with pytest.raises(UnknownFormatError, match=r"no\.such\.Renderer"):
        formats.parse(b"lines:")
    assert [message.id for message in check_extensions()] == ["logpipe_signals.E043"]


def test_providers_and_policies_that_do_not_load_are_told() -> None:
    subscribed = list(subscriptions)
    publishes("staff", PersonSerializer, name="extended", key="no.such.key", headers="no.such.headers")(Person)
    subscribes("staff", on_error="perhaps")(PersonCopySerializer)
    try:
        assert [message.id for message in check_extensions()] == ["logpipe_signals.E044"] * 3
        assert "extended" not in publications.sendable("state")
    finally:
        publications.forget(publications["extended"])
        subscriptions._declared[:] = subscribed


def test_a_backend_is_named_by_its_path(tmp_path: Path, settings: Any, logpipe_settings: ChangeSettings) -> None:
    settings.SPOOL_FOLDER = str(tmp_path)
    logpipe_settings(PRODUCER_BACKEND="tests.extending.spool.Producer", RELAY="worker")
    saved = joe()
    drain()
    (line,) = (tmp_path / "people").read_bytes().splitlines()
    assert line.startswith(b'json:{"type":"person","version":1,')
    assert f'"identity":"person:{saved.pk}"'.encode() in line


def test_a_backends_own_check_is_a_system_check(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(PRODUCER_BACKEND="tests.extending.spool.Producer")
    assert "spool.E001" in [message.id for message in check_settings()]


def test_the_page_shows_these_examples() -> None:
    page = (ROOT / "docs/extending.rst").read_text("utf-8")
    examples = [path for path in (ROOT / "tests/extending").glob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in examples if f"../tests/extending/{path.name}" not in page] == []
