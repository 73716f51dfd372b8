"""A publisher and a subscriber in one process, with a log of three partitions in memory between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals.backend.dummy import create_topic
from logpipe_signals.consuming.audits.reports import AuditReport, latest, report_on
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.publishing.audits.reading import RangeReader
from logpipe_signals.publishing.audits.running import AuditOptions, AuditRun, AuditSent
from logpipe_signals.publishing.backfills.targets import Target
from logpipe_signals.registry import publications, publishes, subscribes, subscriptions
from testproject.mirror.models import PersonCopy
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.conftest import ChangeSettings

BACKEND = "logpipe_signals.backend.dummy"


@pytest.fixture(autouse=True)
def dummy_log(logpipe_settings: ChangeSettings) -> None:
    """Let everybody use the log in memory."""
    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
        RELAY="worker",
    )
    for topic in ("people", "cities", "countries"):
        create_topic(topic, partitions=3)


class Sides:
    """Both sides, moved on by hand."""

    def target(self, topic: str = "people") -> Target:
        publication = next(p for p in publications if p.topic == topic)
        return Target(publication=publication, using="default")

    def relay(self) -> None:
        """Send what the outbox holds."""
        call_command("run_relay", "--drain", verbosity=0, stdout=StringIO())

    def consume(self) -> None:
        """Apply what the log holds."""
        call_command("run_consumer", "--until-caught-up", stdout=StringIO())

    def sync(self) -> None:
        self.relay()
        self.consume()

    def start(self, topic: str = "people", **options: Any) -> AuditSent:
        """Put marks on the topic."""
        asked = AuditOptions(**{"pause_seconds": 0.0, **options})
        return AuditRun(self.target(topic), asked).run()

    def report(self, sent: AuditSent) -> AuditReport:
        """Report on what arrived."""
        routes = MultiConsumer(*declared_consumers()).routes()
        (audit,) = latest("subscriber", run=sent.audit)
        return report_on(audit, routes)

    def audit(self, topic: str = "people", **options: Any) -> AuditReport:
        """Audit from beginning to end, with nobody writing."""
        sent = self.start(topic, **options)
        self.consume()
        return self.report(sent)


@pytest.fixture
def sides() -> Sides:
    """Return both sides, with nothing in them."""
    return Sides()


@pytest.fixture
def people(sides: Sides) -> list[Person]:
    """Return twelve people that the subscriber has too."""
    made = [Person.objects.create(first_name=f"P{n:02}", last_name="Schmoe", email=f"p{n}@ex.org") for n in range(12)]
    sides.sync()
    assert PersonCopy.objects.using("subscriber").count() == 12
    return made


@pytest.fixture
def subscribed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a serializer the only subscriber."""

    def subscribe(serializer_class: Any, topic: str = "people", **options: Any) -> None:
        monkeypatch.setattr(subscriptions, "_declared", [])
        monkeypatch.setattr(subscriptions, "_factories", [])
        subscribes(topic, **options)(serializer_class)

    return subscribe


@pytest.fixture
def another_topic() -> Iterator[Any]:
    """Return a function that publishes people, or others, to a topic of its own, for as long as the test runs."""
    create_topic("others", partitions=3)

    def publish(serializer: Any = PersonSerializer, model: Any = Person, **options: Any) -> None:
        publishes("others", serializer, name="others", **options)(model)

    yield publish
    for publication in [each for each in publications if each.name == "others"]:
        publications.forget(publication)


@pytest.fixture
def copies() -> Any:
    """Return the subscriber's people, to be changed behind its back."""
    return PersonCopy.objects.using("subscriber")


def found(report: AuditReport) -> set[tuple[str, str, tuple[str, ...]]]:
    """Return what an audit found: kind, name of the row, differing fields."""
    return {(f.kind, f.pk_text or str(f.lookup.get("uuid")), tuple(f.fields)) for f in report.findings()}


def command(*arguments: str, **options: Any) -> tuple[str, int]:
    """Run audit_topic, and return what it printed and how it ended."""
    out = StringIO()
    try:
        call_command("audit_topic", *arguments, stdout=out, stderr=out, **options)
    except CommandError as error:
        return f"{out.getvalue()}{error}", error.returncode
    return out.getvalue(), 0


Found = Callable[[AuditReport], set[Any]]


@pytest.fixture
def changing(sides: Sides, people: list[Person], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change a row after every reading of it, and send the change at once."""
    pending = RangeReader._pending
    names = (f"Faster {number}" for number in itertools.count())

    def changed_meanwhile(self: RangeReader, instances: Any) -> Any:
        Person.objects.filter(pk=people[1].pk).update(last_name=next(names))
        sides.relay()
        return pending(self, instances)

    monkeypatch.setattr(RangeReader, "_pending", changed_meanwhile)
