"""Both stand-ins for Kinesis give back what was put; kinesis-mock's shards also end."""

from collections.abc import Callable
from typing import Any, cast

import boto3
import pytest

from logpipe_signals.testing.services.ports import wait_until
from logpipe_signals.testing.services.service import Service
from testproject.services import KinesisMock, MotoServer

pytestmark = pytest.mark.kinesis


def client_of(endpoint_url: str) -> Any:
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint_url,
        region_name="eu-central-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def make_stream(client: Any, name: str) -> None:
    client.create_stream(StreamName=name, ShardCount=1)
    assert wait_until(lambda: is_active(client, name), timeout_seconds=20)


def is_active(client: Any, name: str) -> bool:
    described = client.describe_stream_summary(StreamName=name)
    return bool(described["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")


def first_iterator(client: Any, name: str) -> str:
    shard = client.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    answer = client.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return cast("str", answer["ShardIterator"])


@pytest.fixture(scope="module")
def kinesis_mock(start: Callable[[Service], Service]) -> KinesisMock:
    return cast("KinesisMock", start(KinesisMock()))


@pytest.fixture(scope="module", params=[KinesisMock, MotoServer])
def endpoint_url(request: pytest.FixtureRequest, start: Callable[[Service], Service]) -> str:
    if request.param is KinesisMock:
        return cast("str", request.getfixturevalue("kinesis_mock").endpoint_url)
    return cast("MotoServer", start(MotoServer())).endpoint_url


def test_a_record_put_is_a_record_read(endpoint_url: str) -> None:
    client = client_of(endpoint_url)
    make_stream(client, "people")
    client.put_record(StreamName="people", Data=b"hello", PartitionKey="1")
    records = client.get_records(ShardIterator=first_iterator(client, "people"))["Records"]
    assert [record["Data"] for record in records] == [b"hello"]


def test_a_shard_that_was_split_ends(kinesis_mock: KinesisMock) -> None:
    client = client_of(kinesis_mock.endpoint_url)
    make_stream(client, "split")
    shard = client.list_shards(StreamName="split")["Shards"][0]["ShardId"]
    client.split_shard(StreamName="split", ShardToSplit=shard, NewStartingHashKey=str(2**127))
    assert wait_until(lambda: is_active(client, "split"), timeout_seconds=20)
    answer = client.get_records(ShardIterator=first_iterator(client, "split"))
    assert answer.get("NextShardIterator") is None
    assert len(client.list_shards(StreamName="split")["Shards"]) == 3
