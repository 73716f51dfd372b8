"""A broker that asks for TLS and a password: both clients get in, and who does not is told what to look at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from logpipe_signals.backend import doors
from logpipe_signals.backend.base import Message, Subscription
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.exceptions import BackendUnavailable
from testproject.services import KafkaBroker
from testproject.services.certificates import Certificates, make_certificates
from tests.conftest import ChangeSettings, service_or_skip

pytestmark = pytest.mark.kafka
SECRET, WRONG = "s3cret-of-the-relay", "wr0ng-of-the-relay"
Reach = Callable[..., None]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(certificates: Certificates) -> Iterator[str]:
    broker = KafkaBroker(num_partitions=1, credentials=("relay", SECRET), keystore=certificates.server)
    with service_or_skip(_addressed(broker)) as address:
        yield address


class _addressed:  # noqa: N801  (a context manager, used like a function)
    """Starts a broker and gives the address of its guarded door."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker

    def __enter__(self) -> str:
        self.broker.__enter__()
        return self.broker.sasl_bootstrap_servers

    def __exit__(self, *error: Any) -> None:
        self.broker.__exit__(*error)


@pytest.fixture(params=["kafka", "confluent"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    doors._known.clear()
    yield import_module(f"logpipe_signals.backend.{request.param}")
    for each in import_module(f"logpipe_signals.backend.{request.param}.client").current_clients():
        getattr(each, "abandon", each.close)()


@pytest.fixture
def reach(guarded: str, certificates: Certificates, logpipe_settings: ChangeSettings) -> Reach:
    """Return a function that tells clients how to reach the broker; rightly, but for what is changed."""

    def change(**changes: Any) -> None:
        right = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "relay",
            "sasl_plain_password": SECRET,
            "ssl_cafile": str(certificates.authority),
        }
        logpipe_settings(KAFKA_BOOTSTRAP_SERVERS=guarded, KAFKA_KWARGS={**right, **changes})

    return change


def produce(client: Any, topic: str, *, seconds: float = 20) -> list[Any]:
    message = Message(topic=topic, key="k", value=b"json:{}")
    return client.Producer().submit([message], timeout_seconds=seconds).wait(seconds)


def read(client: Any, topic: str) -> list[bytes | None]:
    consumer, deadline = client.Consumer(Subscription(topics=(topic,))), Deadline(30)
    try:
        while not deadline.passed:
            if records := consumer.poll(max_records=10, timeout_seconds=0.5):
                return [record.value for record in records]
    finally:
        consumer.close()
    return []


def refusal(client: Any) -> str:
    with pytest.raises(BackendUnavailable) as sending:
        produce(client, "any", seconds=2)
    consumer = client.Consumer(Subscription(topics=("any",)))
    with pytest.raises(BackendUnavailable) as reading:
        consumer.poll(max_records=1, timeout_seconds=1)
    consumer.close()
    assert str(sending.value).partition(". ")[2] == str(reading.value).partition(". ")[2]
    return str(sending.value)


def test_a_client_gets_in_writes_and_reads(client: Any, reach: Reach) -> None:
    reach()
    topic = f"guarded-{client.__name__.rpartition('.')[2]}"
    assert [outcome.error for outcome in produce(client, topic)] == [None]
    assert read(client, topic) == [b"json:{}"]


def test_a_wrong_password_is_told_and_not_shown(client: Any, reach: Reach, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="logpipe_signals")
    caplog.set_level(logging.INFO, logger="kafka")
    reach(sasl_plain_password=WRONG)

    told = refusal(client)

    assert "refuses the credentials" in told
    assert "sasl_plain_password" in told
    for secret in (WRONG, SECRET):
        assert secret not in told
        assert secret not in caplog.text


def test_a_certificate_that_nobody_trusts_is_told_with_the_setting(
    client: Any, reach: Reach, certificates: Certificates
) -> None:
    reach(ssl_cafile=str(certificates.stranger))
    told = refusal(client)
    assert "is not trusted" in told
    assert "ssl_cafile" in told


def test_a_listener_of_another_protocol_is_told(client: Any, reach: Reach) -> None:
    reach(security_protocol="SASL_PLAINTEXT")
    assert "another protocol than SASL_PLAINTEXT" in refusal(client)


def test_the_door_is_tried_by_hand_not_more_often_than_is_useful(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    doors._known.clear()
    monkeypatch.setattr(doors, "_advice", lambda door: tried.append(door) or "closed")
    door = doors.Door.of(servers="127.0.0.1:9", protocol="SSL")
    assert [doors.advice(door) for _ in range(3)] == [" closed"] * 3
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("cafile", "said"), [("/nowhere/authority.pem", "no readable file"), ("empty", "no readable file")]
)
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, cafile: str, said: str, guarded: str) -> None:
    if cafile == "empty":
        (tmp_path / "empty.pem").write_text("nothing")
        cafile = str(tmp_path / "empty.pem")
    doors._known.clear()
    assert said in doors.advice(doors.Door.of(servers=guarded, protocol="SSL", cafile=cafile))


def test_where_nothing_listens_the_address_is_named() -> None:
    doors._known.clear()
    assert "Nothing listens on 127.0.0.1:9" in doors.advice(doors.Door.of(servers=["127.0.0.1:9"], protocol="SASL_SSL"))


def test_an_open_broker_is_not_tried() -> None:
    assert doors.advice(doors.Door.of(servers="127.0.0.1:9", protocol=None)) == ""
