"""Reading a shard: iterators that expire, positions that were trimmed, reads that fail, and how often it is asked."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from logpipe_signals.backend.base import Gap, TopicPartition
from logpipe_signals.backend.kinesis import reading
from logpipe_signals.backend.kinesis.aggregation import MAGIC, parts_of
from logpipe_signals.backend.kinesis.positions import SHARD_END
from logpipe_signals.exceptions import BackendUnavailable, MissingTopicError
from tests.conftest import ChangeSettings
from tests.unit.backend.kinesis.conftest import Open, poll_until, read, records_of
from tests.unit.backend.kinesis.fake import FakeKinesis, client_error

FIRST = TopicPartition("people", "shardId-000000000000")
SECOND = TopicPartition("people", "shardId-000000000001")


def at(position: str | None) -> dict[str, Any]:
    """Return the subscription of a group that stands here."""
    return {"read_positions": lambda partitions: dict.fromkeys(partitions, position)}


def failing(fake: FakeKinesis, *errors: Exception, operation: str = "get_records") -> None:
    """Let the next calls fail."""
    left = iter(errors)

    def fail(called: str, request: dict[str, Any]) -> None:
        if called == operation and (error := next(left, None)):
            raise error

    fake.before = fail


def test_reading_goes_on_behind_the_last_record_read(fake: FakeKinesis, open_consumer: Open) -> None:
    numbers = [fake.put(b"%d" % number) for number in range(5)]
    assert read(open_consumer(**at(numbers[2])), 2) == [b"3", b"4"]


def test_the_position_behind_a_record_is_its_sequence_number(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(b"x")
    consumer = open_consumer()
    (record,) = records_of(consumer, 1)
    assert consumer.position_after(record) == number == record.offset


def test_an_expired_iterator_is_renewed_from_what_was_read(fake: FakeKinesis, open_consumer: Open) -> None:
    fake.put(b"1")
    consumer = open_consumer()
    assert read(consumer, 1) == [b"1"]
    failing(fake, client_error("ExpiredIteratorException"))
    fake.put(b"2")
    assert read(consumer, 1) == [b"2"]


@pytest.mark.parametrize(
    "error",
    [
        client_error("ProvisionedThroughputExceededException"),
        client_error("InternalFailure"),
        client_error("AccessDeniedException"),
        ConnectTimeoutError(endpoint_url="http://fake"),
    ],
)
def test_failed_reads_cost_no_record_and_no_shard(fake: FakeKinesis, open_consumer: Open, error: Exception) -> None:
    fake.put(b"1")
    consumer = open_consumer()
    assert read(consumer, 1) == [b"1"]
    failing(fake, *[error] * 5)
    fake.put(b"2")
    records: list[Any] = []
    while not records:
        try:
            records = consumer.poll(max_records=10, timeout_seconds=0.1)
        except BackendUnavailable:
            continue
    assert [record.value for record in records] == [b"2"]
    assert consumer.assignment() == {FIRST}


def test_a_service_that_is_away_is_said_to_be(fake: FakeKinesis, open_consumer: Open) -> None:
    consumer = open_consumer()
    consumer.poll(max_records=1, timeout_seconds=0.1)
    failing(fake, *[client_error("InternalFailure")] * 1000)
    with pytest.raises(BackendUnavailable):
        poll_until(consumer, lambda: False)


def test_a_trimmed_position_is_reported_with_its_extent_before_reading_goes_on(
    fake: FakeKinesis, open_consumer: Open
) -> None:
    numbers = [fake.put(b"%d" % number) for number in range(6)]
    fake.trim(FIRST.partition, 4)
    gaps: list[Gap] = []
    consumer = open_consumer(gap_found=gaps.append, **at(numbers[1]))
    assert read(consumer, 2) == [b"4", b"5"]
    assert gaps == [Gap(topic_partition=FIRST, expected=numbers[1], found=numbers[4])]


def test_a_position_whose_record_is_still_there_is_no_gap(fake: FakeKinesis, open_consumer: Open) -> None:
    numbers = [fake.put(b"%d" % number) for number in range(6)]
    fake.trim(FIRST.partition, 1)
    gaps: list[Gap] = []
    assert read(open_consumer(gap_found=gaps.append, **at(numbers[1])), 4) == [b"2", b"3", b"4", b"5"]
    assert gaps == []


def test_a_quiet_stream_that_kept_nothing_is_no_gap(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(b"read long ago")
    fake.trim(FIRST.partition, 1)
    gaps: list[Gap] = []
    consumer = open_consumer(gap_found=gaps.append, **at(number))
    poll_until(consumer, lambda: fake.count("get_records") > 0)
    consumer.poll(max_records=10, timeout_seconds=0.1)
    fake.put(b"new")
    assert read(consumer, 1) == [b"new"]
    assert gaps == []


def test_a_position_of_another_stream_is_a_gap_and_reading_begins_at_the_start(
    fake: FakeKinesis, open_consumer: Open
) -> None:
    number = fake.put(b"0")
    gaps: list[Gap] = []
    assert read(open_consumer(gap_found=gaps.append, **at("70")), 1) == [b"0"]
    assert gaps == [Gap(topic_partition=FIRST, expected="70", found=number)]


def test_a_closed_shard_trimmed_before_it_was_read_is_a_gap_up_to_its_end(
    fake: FakeKinesis, open_consumer: Open
) -> None:
    number = fake.put(b"read")
    fake.put(b"never read")
    fake.split(FIRST.partition)
    fake.trim(FIRST.partition, 2)
    gaps: list[Gap] = []
    stored = {FIRST: number}
    consumer = open_consumer(
        gap_found=gaps.append, read_positions=lambda partitions: {each: stored.get(each) for each in partitions}
    )
    poll_until(consumer, lambda: bool(gaps))
    assert gaps == [Gap(topic_partition=FIRST, expected=number, found=SHARD_END)]


def test_a_shard_is_asked_at_most_five_times_a_second(fake: FakeKinesis, open_consumer: Open) -> None:
    for number in range(60):
        fake.put(b"%d" % number)
    consumer = open_consumer()
    records: list[Any] = []
    poll_until(consumer, lambda: fake.count("get_records") > 6, records)
    moments = [moment for name, _, moment in fake.calls if name == "get_records"]
    assert min(later - earlier for earlier, later in itertools.pairwise(moments)) > 0.18


def test_a_read_asks_for_as_many_records_as_the_setting_says(
    fake: FakeKinesis, open_consumer: Open, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(KINESIS_FETCH_LIMIT=10_000)
    fake.put(b"x")
    read(open_consumer(), 1)
    assert {request["Limit"] for request in fake.requests("get_records")} == {10_000}


def test_no_more_is_read_while_enough_waits(
    fake: FakeKinesis, open_consumer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_BUFFER", 50)
    for number in range(500):
        fake.put(b"%d" % number)
    consumer = open_consumer()
    values = [record.value for _ in range(40) for record in consumer.poll(max_records=5, timeout_seconds=0.05)]
    assert len(values) > 100
    assert values == [b"%d" % number for number in range(len(values))]
    assert max(len(reader.buffer) for reader in consumer._readers.values()) <= 150


def test_the_lag_is_the_services_own(fake: FakeKinesis, open_consumer: Open, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(KINESIS_FETCH_LIMIT=1)
    fake.put(b"1")
    fake.put(b"2")
    consumer = open_consumer()
    read(consumer, 1)
    assert consumer.lag_milliseconds() == {FIRST: 1000}
    read(consumer, 1)
    assert consumer.lag_milliseconds() == {FIRST: 0}


def test_a_missing_stream_is_named(fake: FakeKinesis, open_consumer: Open) -> None:
    with pytest.raises(MissingTopicError, match="nobody"):
        open_consumer(topics=("nobody",)).poll(max_records=1, timeout_seconds=0.1)


# --- where it ends ----------------------------------------------------------------------------------------------------


def test_the_end_is_the_last_record_where_everything_was_read(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(b"x")
    consumer = open_consumer()
    read(consumer, 1)
    assert consumer.end_positions([FIRST]) == {FIRST: number}
    assert consumer.has_reached(FIRST, number, number)
    assert consumer.has_reached(FIRST, fake.put(b"later"), number)


def test_the_end_is_a_time_where_there_is_more_to_read_and_is_reached_when_that_is_read(
    fake: FakeKinesis, open_consumer: Open, logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(KINESIS_FETCH_LIMIT=1)
    numbers = [fake.put(b"%d" % number) for number in range(3)]
    consumer = open_consumer()
    read(consumer, 1)
    (end,) = consumer.end_positions([FIRST]).values()
    assert not consumer.has_reached(FIRST, numbers[0], end)
    read(consumer, 2)
    poll_until(consumer, lambda: consumer.has_reached(FIRST, numbers[2], end))
    assert not consumer.has_reached(FIRST, numbers[1], end)


# --- records of the KPL -----------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def aggregated(*parts: tuple[str, bytes]) -> bytes:
    """Return what the KPL would put for these keys and values."""
    keys = b"".join(field(1, key.encode()) for key, _ in parts)
    records = b"".join(field(3, field(1, index) + field(3, value)) for index, (_, value) in enumerate(parts))
    body = keys + records
    return MAGIC + body + hashlib.md5(body).digest()


def test_an_aggregated_record_comes_apart(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(aggregated(("joe", b"1"), ("ann", b"x" * 300), ("joe", b"")))
    records = records_of(open_consumer(), 3)
    assert [(record.key, record.value) for record in records] == [("joe", b"1"), ("ann", b"x" * 300), ("joe", b"")]
    assert [record.offset for record in records] == [f"{number}.0", f"{number}.1", number]


def test_reading_goes_on_inside_an_aggregated_record(fake: FakeKinesis, open_consumer: Open) -> None:
    number = fake.put(aggregated(("joe", b"1"), ("joe", b"2"), ("joe", b"3")))
    fake.put(b"4")
    assert read(open_consumer(**at(f"{number}.0")), 3) == [b"2", b"3", b"4"]
    assert read(open_consumer(**at(number)), 1) == [b"4"]


@pytest.mark.parametrize(
    "data", [b"json:{}", MAGIC, MAGIC + b"x" * 40, MAGIC + b"\x0b\x01" + hashlib.md5(b"\x0b\x01").digest()]
)
def test_what_only_looks_aggregated_is_a_record_like_any_other(data: bytes) -> None:
    assert parts_of(data) is None
