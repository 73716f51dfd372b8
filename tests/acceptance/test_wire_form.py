"""The bytes on the topic are django-logpipe's, whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from rest_framework import serializers

from logpipe_signals import Producer
from logpipe_signals.backend import get_producer_backend
from logpipe_signals.models import LogRecord
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.conftest import ChangeSettings

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ReadBack = Callable[[str, str], list[bytes]]
"""(topic, key) -> the values of the key on the topic."""


@pytest.fixture(params=["database", pytest.param("kafka", marks=pytest.mark.kafka)])
def read_back(request: pytest.FixtureRequest, logpipe_settings: ChangeSettings) -> Iterator[ReadBack]:
    """Send to a real log, and return what reads it back without this package."""
    logpipe_settings(PRODUCER_BACKEND=f"logpipe_signals.backend.{request.param}.Producer", RELAY="worker")
    if request.param == "database":
        yield from_table
        return
    servers = request.getfixturevalue("kafka_broker")
    logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=servers)
    yield lambda topic, key: from_kafka(servers, topic, key)
    get_producer_backend().close()  # Its client would look for the broker long after that is gone.


def from_table(topic: str, key: str) -> list[bytes]:
    records = LogRecord.objects.filter(partition__topic=topic, key=key.encode()).order_by("id")
    return [bytes(record.value or b"") for record in records]


def from_kafka(servers: str, topic: str, key: str) -> list[bytes]:
    from kafka import KafkaConsumer

    client = KafkaConsumer(
        topic,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=5000,
    )
    try:
        # The one record there is of this key: no need to wait for more.
        return [next(record.value for record in client if record.key == key.encode())]
    finally:
        client.close()


def test_a_person_is_exactly_the_bytes_of_django_logpipe(read_back: ReadBack) -> None:
    uuid = uuid4()
    joe = Person(uuid=uuid, first_name="Joe", last_name="Schmoe")

    Producer("people", PersonSerializer).send(joe)

    expected = (
        f'json:{{"type":"person","version":1,"message":{{"uuid":"{uuid}","first_name":"Joe","last_name":"Schmoe",'
        '"email":""}}'
    )
    assert read_back("people", str(uuid)) == [expected.encode()]


class PlainPersonSerializer(serializers.Serializer):
    """The example of django-logpipe's description."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "id"

    first_name = serializers.CharField()
    last_name = serializers.CharField()
    id = serializers.IntegerField()


def test_the_example_of_django_logpipe_comes_out_to_the_byte(read_back: ReadBack) -> None:
    topic = f"people-{uuid4().hex}"
    Producer(topic, PlainPersonSerializer).send({"first_name": "Joe", "last_name": "Schmoe", "id": 123})

    assert read_back(topic, "123") == [
        b'json:{"type":"person","version":1,"message":{"first_name":"Joe","last_name":"Schmoe","id":123}}'
    ]


@pytest.mark.parametrize("name", ["Żółć", "樋口 一葉", "\u2028 & </script>", 'a "quoted" \\ name'])
def test_text_travels_as_drfs_renderer_writes_it(read_back: ReadBack, name: str) -> None:
    import json

    uuid: UUID = uuid4()
    Producer("people", PersonSerializer).send(Person(uuid=uuid, first_name=name, last_name="x"))

    (value,) = read_back("people", str(uuid))
    body = {"uuid": str(uuid), "first_name": name, "last_name": "x", "email": ""}
    compact = json.dumps({"type": "person", "version": 1, "message": body}, ensure_ascii=False, separators=(",", ":"))
    assert value.decode() == "json:" + compact.replace("\u2028", "\\u2028")
