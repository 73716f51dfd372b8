"""An audit names what drifted on every log."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from logpipe_signals.registry import publications, publishes, subscribes, subscriptions
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.conftest import ChangeSettings
from tests.kinesis import make_shards
from tests.unit.auditing.conftest import Sides, found

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)
LOGS = ["database", "kafka", "confluent", "kinesis"]


@pytest.fixture(params=[pytest.param(n, marks=pytest.mark.kafka if n in LOGS[1:3] else ()) for n in LOGS])
def topic(request: pytest.FixtureRequest, logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Publish people on a topic of its own, of each log in turn, and subscribe to it."""
    backend = f"logpipe_signals.backend.{request.param}"
    logpipe_settings(
        PRODUCER_BACKEND=f"{backend}.Producer",
        CONSUMER_BACKEND=f"{backend}.Consumer",
        OFFSET_BACKEND=f"{backend}.ModelOffsetStore",
    )
    name = f"audited-{uuid.uuid4().hex[:8]}"
    if request.param in ("kafka", "confluent"):
        logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=request.getfixturevalue("kafka_broker"))
    if request.param == "kinesis":
        endpoint = request.getfixturevalue("kinesis_endpoint")
        logpipe_settings(KINESIS_ENDPOINT_URL=endpoint, KINESIS_REGION="eu-central-1", KINESIS_FETCH_LIMIT=1000)
        make_shards(name, 3)
    monkeypatch.setattr(subscriptions, "_declared", [])
    monkeypatch.setattr(subscriptions, "_factories", [])
    subscribes(name)(PersonCopySerializer)
    before, publications._by_name = publications._by_name, {}  # The topic they usually go to is not on every log.
    publishes(name, PersonSerializer)(Person)
    yield name
    publications._by_name = before
    publications._changed()


def test_an_audit_names_what_drifted_whatever_the_log(sides: Sides, topic: str, copies: Any) -> None:
    people = [Person.objects.create(first_name=f"P{n}", last_name="Schmoe") for n in range(8)]
    sides.sync()
    assert sides.audit(topic).verdict == "clean"
    copies.filter(uuid=people[1].uuid).delete()
    copies.filter(uuid=people[2].uuid).update(last_name="Blow")
    ghost: PersonCopy = copies.create(uuid=uuid.uuid4(), first_name="G", last_name="H")
    assert found(sides.audit(topic)) == {
        ("missing", str(people[1].pk), ()),
        ("different", str(people[2].pk), ("last_name",)),
        ("extra", str(ghost.uuid), ()),
    }
