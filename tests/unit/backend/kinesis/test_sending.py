"""Putting: within the limits, in order of key, refused ones again and alone, nothing after its time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from logpipe_signals.backend import kinesis
from logpipe_signals.backend.base import Message
from logpipe_signals.backend.kinesis import queues
from logpipe_signals.backend.kinesis.limits import LONGEST_PARTITION_KEY, RECORD_BYTES
from logpipe_signals.backend.kinesis.sending import shared_sender
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected, MissingTopicError
from tests.conftest import ChangeSettings
from tests.unit.backend.kinesis.conftest import send
from tests.unit.backend.kinesis.fake import FakeKinesis, client_error

THROTTLED = "ProvisionedThroughputExceededException"


def errors_of(outcomes: list[Any]) -> list[type]:
    return [type(outcome.error) for outcome in outcomes]


def keys_of_calls(fake: FakeKinesis) -> list[list[str]]:
    calls = [request.get("Records", [request]) for name, request, _ in fake.calls if name.startswith("put")]
    return [[record["PartitionKey"] for record in call] for call in calls]


def test_a_call_has_no_two_records_of_a_key(fake: FakeKinesis) -> None:
    send(*[(key, b"x") for key in "abcaabbccc"])
    assert all(len(set(keys)) == len(keys) for keys in keys_of_calls(fake))


def test_a_call_stays_within_500_records(fake: FakeKinesis) -> None:
    send(*[(f"key-{number}", b"x") for number in range(1100)])
    assert [len(keys) for keys in keys_of_calls(fake)] == [500, 500, 100]


def test_a_call_stays_within_the_bytes(fake: FakeKinesis) -> None:
    send(*[(f"key-{number}", b"x" * 1_000_000) for number in range(12)])
    sizes = [sum(len(record["Data"]) for record in request["Records"]) for request in fake.requests("put_records")]
    assert max(sizes) <= queues.BYTES_A_CALL
    assert sum(sizes) == 12_000_000


def test_what_was_refused_is_sent_again_alone(fake: FakeKinesis) -> None:
    refused = {b"2", b"5"}
    fake.refuse = lambda record: THROTTLED if record["Data"] in refused and not refused.discard(record["Data"]) else ""
    outcomes = send(*[(str(number), b"%d" % number) for number in range(8)])
    assert errors_of(outcomes) == [type(None)] * 8
    assert sorted(fake.values()) == [b"%d" % number for number in range(8)]


def test_a_later_record_of_a_key_waits_for_one_that_was_refused(fake: FakeKinesis) -> None:
    refusals = iter([THROTTLED, "InternalFailure", THROTTLED])
    fake.refuse = lambda record: next(refusals, "") if record["Data"] == b"first" else ""
    send(("joe", b"first"), ("ann", b"other"), ("joe", b"second"))
    assert [value for value in fake.values() if value != b"other"] == [b"first", b"second"]


def test_batches_that_follow_each_other_keep_the_order_of_a_key(fake: FakeKinesis) -> None:
    refusals = iter([THROTTLED])
    fake.refuse = lambda record: next(refusals, "") if record["Data"] == b"0" else ""
    producer = kinesis.Producer()
    deliveries = [
        producer.submit([Message(topic="people", key="joe", value=b"%d" % number)], timeout_seconds=10)
        for number in range(5)
    ]
    for delivery in deliveries:
        delivery.wait(10)
    assert fake.values() == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("code", [THROTTLED, "InternalFailure", "LimitExceededException"])
def test_a_call_that_fails_for_now_is_made_again(fake: FakeKinesis, code: str) -> None:
    failures = iter([client_error(code)] * 2)

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation.startswith("put") and (error := next(failures, None)):
            raise error

    fake.before = fail
    assert errors_of(send(("a", b"1"), ("b", b"2"))) == [type(None)] * 2
    assert sorted(fake.values()) == [b"1", b"2"]


def test_nothing_is_sent_once_the_time_is_up(fake: FakeKinesis) -> None:
    fake.refuse = lambda record: THROTTLED
    outcomes = send(("joe", b"1"), ("joe", b"2"), ("ann", b"3"), timeout_seconds=0.4)
    assert errors_of(outcomes) == [BackendUnavailable] * 3
    calls = len(fake.calls)
    fake.refuse = lambda record: ""
    assert errors_of(send(("joe", b"later"))) == [type(None)]
    assert fake.values() == [b"later"]
    assert len(fake.calls) == calls + 1


def test_a_call_that_hangs_ends_the_wait_in_time_and_holds_back_its_key(fake: FakeKinesis) -> None:
    let_go = threading.Event()

    def hang(operation: str, request: dict[str, Any]) -> None:
        if request.get("Data") == b"hangs":
            let_go.wait(10)

    fake.before = hang
    assert errors_of(send(("joe", b"hangs"), timeout_seconds=0.3)) == [BackendUnavailable]
    producer = kinesis.Producer()
    same = producer.submit([Message(topic="people", key="joe", value=b"behind")], timeout_seconds=10)
    assert errors_of(send(("ann", b"other"))) == [type(None)]
    assert fake.values() == [b"other"]
    let_go.set()
    assert errors_of(same.wait(10)) == [type(None)]
    assert fake.values() == [b"other", b"hangs", b"behind"]


def test_no_later_record_of_a_batch_overtakes_one_that_did_not_arrive(fake: FakeKinesis) -> None:
    def refuse(record: dict[str, Any]) -> str:
        if record["Data"] == b"first":
            raise client_error("AccessDeniedException")
        return ""

    fake.refuse = refuse
    outcomes = send(("joe", b"first"), ("joe", b"second"))
    assert errors_of(outcomes) == [BackendUnavailable] * 2
    assert fake.values() == []


def test_one_that_is_refused_for_good_is_found_out_and_takes_nobody_with_it(fake: FakeKinesis) -> None:
    def refuse(operation: str, request: dict[str, Any]) -> None:
        if any(record["Data"] == b"bad" for record in request.get("Records", [request]) if "Data" in record):
            raise client_error("InvalidArgumentException")

    fake.before = refuse
    outcomes = send(("a", b"good"), ("b", b"bad"), ("c", b"also good"), ("b", b"behind it"))
    assert errors_of(outcomes) == [type(None), MessageRejected, type(None), type(None)]
    assert sorted(fake.values()) == [b"also good", b"behind it", b"good"]


def test_too_large_and_impossible_messages_are_rejected_before_any_call(fake: FakeKinesis) -> None:
    messages = [
        Message(topic="people", key="joe", value=b"x" * RECORD_BYTES),
        Message(topic="no:stream", key="joe", value=b"x"),
        Message(topic="people", key="joe", value=None),
    ]
    outcomes = kinesis.Producer().submit(messages, timeout_seconds=5).wait(5)
    assert errors_of(outcomes) == [MessageRejected] * 3
    assert not fake.count("put_record")
    assert "delete='message'" in str(outcomes[2].error)


def test_a_stream_that_takes_more_is_given_more(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = {"StreamDescriptionSummary": {"MaxRecordSizeInKiB": 10_240}}
    monkeypatch.setattr(fake, "describe_stream_summary", lambda **request: larger)
    assert errors_of(send(("joe", b"x" * (2 * RECORD_BYTES)))) == [type(None)]


def test_a_missing_stream_is_named(fake: FakeKinesis) -> None:
    message = Message(topic="nobody", key="joe", value=b"x")
    (outcome,) = kinesis.Producer().submit([message], timeout_seconds=5).wait(5)
    assert isinstance(outcome.error, MissingTopicError)
    assert "'nobody'" in str(outcome.error)


def test_messages_without_a_key_get_random_ones_and_are_read_without(fake: FakeKinesis) -> None:
    send(*[(None, b"x") for _ in range(20)])
    (keys,) = keys_of_calls(fake)
    assert len(set(keys)) == 20


def test_a_key_that_is_too_long_keeps_its_beginning_and_its_order(fake: FakeKinesis) -> None:
    send(("k" * 300, b"1"), ("k" * 300, b"2"), ("k" * 300 + "other", b"3"))
    keys = [key for call in keys_of_calls(fake) for key in call]
    assert {len(key) for key in keys} == {LONGEST_PARTITION_KEY}
    assert len(set(keys)) == 2


def test_a_single_record_is_ordered_behind_the_last_one_of_its_key(fake: FakeKinesis) -> None:
    (first,) = send(("joe", b"1"))
    send(("joe", b"2"))
    requests = fake.requests("put_record")
    assert "SequenceNumberForOrdering" not in requests[0]
    assert requests[1]["SequenceNumberForOrdering"] == first.metadata.offset  # type: ignore[union-attr]


def test_a_sequence_number_that_the_stream_does_not_know_is_forgotten(fake: FakeKinesis) -> None:
    send(("joe", b"1"))

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if "SequenceNumberForOrdering" in request:
            raise client_error("InvalidArgumentException")

    fake.before = refuse
    assert errors_of(send(("joe", b"2"))) == [type(None)]


def test_remembered_sequence_numbers_are_bounded(fake: FakeKinesis, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(KINESIS_SEQ_NUM_CACHE_SIZE=10)
    send(*[(f"key-{number}", b"x") for number in range(50)])
    assert len(shared_sender().last_sequence_numbers) == 10


def test_every_message_gets_an_outcome_whatever_the_client_raises(fake: FakeKinesis) -> None:
    def explode(operation: str, request: dict[str, Any]) -> None:
        raise RuntimeError("nobody expected this")

    fake.before = explode
    outcomes = send(("a", b"1"), ("b", b"2"), timeout_seconds=0.5)
    assert errors_of(outcomes) == [BackendUnavailable] * 2
