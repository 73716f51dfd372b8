"""boto3's own client: nothing of a batch passes to the network when its time is up."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from logpipe_signals.backend import kinesis
from logpipe_signals.backend.base import Message, Subscription
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.client import close_clients, gate, shared_client
from logpipe_signals.backend.kinesis.errors import TimeIsUp
from logpipe_signals.backend.kinesis.sending import close_senders
from tests.conftest import ChangeSettings
from tests.unit.backend.kinesis.conftest import read


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch, logpipe_settings: ChangeSettings):  # type: ignore[no-untyped-def]
    """Put moto behind boto3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    logpipe_settings(KINESIS_REGION="eu-west-1", KINESIS_ENDPOINT_URL="")
    with mock_aws():
        kinesis.create_stream("people", 2)
        yield
        close_senders()
    close_clients()


def test_what_is_sent_is_read_and_the_region_is_the_settings(logpipe_settings: ChangeSettings) -> None:
    messages = [Message(topic="people", key=f"key-{number}", value=b"%d" % number) for number in range(20)]
    outcomes = kinesis.Producer().submit(messages, timeout_seconds=10).wait(10)
    assert [outcome.error for outcome in outcomes] == [None] * 20
    consumer = kinesis.Consumer(Subscription(topics=("people",)))
    try:
        assert sorted(read(consumer, 20)) == sorted(b"%d" % number for number in range(20))
    finally:
        consumer.close()
    assert boto3.client("kinesis", region_name="eu-west-1").list_streams()["StreamNames"] == ["people"]
    assert kinesis.ModelOffsetStore().log == "kinesis:eu-west-1"


def test_no_put_passes_once_its_time_is_up() -> None:
    client = shared_client()
    with gate.until(Deadline(0.0), spare_seconds=0.0), pytest.raises(TimeIsUp):
        client.put_record(StreamName="people", Data=b"late", PartitionKey="joe")
    with gate.until(Deadline(5.0), spare_seconds=1.0):
        client.put_record(StreamName="people", Data=b"in time", PartitionKey="joe")


def test_a_refused_put_is_not_tried_again_by_the_client_itself() -> None:
    client = shared_client()
    assert client.meta.config.retries["total_max_attempts"] == 1
