"""What every producer owes."""

from __future__ import annotations

import os
import threading
import warnings

import pytest
from django.db import connections

from logpipe_signals import formats
from logpipe_signals.backend.base import Message
from logpipe_signals.backend.partitioning import partition_of
from logpipe_signals.exceptions import MessageRejected
from logpipe_signals.testing.conformance.log import ChangeSettings, Log

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_messages_of_one_key_arrive_in_the_order_of_their_batch(log: Log) -> None:
    topic = log.topic()
    log.send(topic, *[("joe", b"%d" % number) for number in range(200)])
    values = [record.value for record in log.read(log.consumer(topic), 200)]
    assert values == [b"%d" % number for number in range(200)]


def test_messages_of_one_key_arrive_in_the_order_of_their_batches(log: Log) -> None:
    topic = log.topic()
    producer = log.producer()
    deliveries = [
        producer.submit([Message(topic=topic, key="joe", value=b"%d" % number)], timeout_seconds=20)
        for number in range(50)
    ]
    assert all(outcome.error is None for delivery in deliveries for outcome in delivery.wait(20))
    values = [record.value for record in log.read(log.consumer(topic), 50)]
    assert values == [b"%d" % number for number in range(50)]


def test_outcomes_come_in_the_order_of_the_messages(log: Log) -> None:
    topic = log.topic()
    messages = [Message(topic=topic, key=f"key-{number}", value=b"%d" % number) for number in range(100)]
    outcomes = log.producer().submit(messages, timeout_seconds=20).wait(20)
    by_place: dict[tuple[object, ...], bytes | None] = {
        (record.topic, record.partition, record.offset): record.value
        for record in log.read(log.consumer(topic), len(messages))
    }
    assert [by_place[tuple(outcome.metadata or ())] for outcome in outcomes] == [message.value for message in messages]


def test_a_delivery_that_was_waited_for_is_done(log: Log) -> None:
    delivery = log.producer().submit([Message(topic=log.topic(), key="a", value=b"1")], timeout_seconds=20)
    delivery.wait(20)
    assert delivery.done


def test_waiting_again_gives_the_same_outcomes(log: Log) -> None:
    delivery = log.producer().submit([Message(topic=log.topic(), key="a", value=b"1")], timeout_seconds=20)
    assert delivery.wait(20) == delivery.wait(20)


@pytest.mark.needs("kafka's partitions")
def test_a_key_goes_where_kafkas_own_partitioner_puts_it(log: Log) -> None:
    topic = log.topic(partitions=7)
    keys = [f"schlüssel-{number}" for number in range(60)]
    places = log.send(topic, *[(key, b"x") for key in keys])
    assert [place.partition for place in places] == [str(partition_of(key.encode(), 7)) for key in keys]


def test_the_layout_of_a_topic_tells_where_a_key_goes(log: Log) -> None:
    topic = log.topic(partitions=3)
    layout = log.producer().layout(topic)
    if layout is None:
        return  # A log may keep that to itself.
    keys = [f"schlüssel-{number}" for number in range(40)]
    places = log.send(topic, *[(key, b"x") for key in keys])
    assert [layout.partition_of(key) for key in keys] == [place.partition for place in places]
    assert set(layout.partitions) == {place.partition for place in places}


def test_messages_without_a_key_spread_over_the_partitions(log: Log) -> None:
    topic = log.topic(partitions=2)
    partitions: set[str] = set()
    for _ in range(30):
        partitions |= {place.partition for place in log.send(topic, *[(None, b"x" * 1000) for _ in range(30)])}
        if len(partitions) == 2:
            break
    assert len(partitions) == 2


def test_an_empty_key_is_no_key(log: Log) -> None:
    topic = log.topic()
    log.send(topic, ("", b"x"))
    (record,) = log.read(log.consumer(topic), 1)
    assert record.key is None


def test_headers_arrive_as_they_were_sent(log: Log) -> None:
    topic = log.topic()
    headers = (("logpipe-source", b"abc"), ("binary", b"\x00\xff\xfe"), ("twice", b"1"), ("twice", "zwölf".encode()))
    message = Message(topic=topic, key="a", value=b"x", headers=headers)
    log.producer().submit([message], timeout_seconds=20).wait(20)
    (record,) = log.read(log.consumer(topic), 1)
    expected = headers if log.producer_class.supports_headers else ()
    assert record.headers == expected


@pytest.mark.needs("tombstones")
def test_a_tombstone_has_its_key_and_no_value(log: Log) -> None:
    topic = log.topic()
    log.send(topic, ("joe", None))
    (record,) = log.read(log.consumer(topic), 1)
    assert (record.key_text, record.value) == ("joe", None)


def test_an_empty_value_is_no_tombstone(log: Log) -> None:
    topic = log.topic()
    log.send(topic, ("joe", b""))
    (record,) = log.read(log.consumer(topic), 1)
    assert record.value == b""


def test_send_says_where_the_message_is(log: Log) -> None:
    topic = log.topic()
    log.producer().send(topic, "joe", b"1")
    place = log.producer().send(topic, "joe", b"2")
    records = log.read(log.consumer(topic), 2)
    assert (records[1].topic, records[1].partition, records[1].offset) == place


@pytest.mark.needs("a size limit")
def test_one_message_that_is_too_large_is_rejected_and_its_neighbours_arrive(log: Log) -> None:
    topic = log.topic()
    sizes = [1, log.too_large_bytes, 1]
    messages = [Message(topic=topic, key="joe", value=b"x" * size) for size in sizes]
    outcomes = log.producer().submit(messages, timeout_seconds=20).wait(20)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), MessageRejected, type(None)]
    assert len(log.read(log.consumer(topic), 2)) == 2


@pytest.mark.needs("a size limit")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_message_that_is_too_large_fits_when_it_is_compressed(
    log: Log, compression: str, logpipe_settings: ChangeSettings
) -> None:
    topic = log.topic()
    body = {"type": "essay", "version": 1, "message": {"text": "la " * log.too_large_bytes}}
    logpipe_settings(COMPRESSION=compression)
    log.send(topic, ("joe", formats.render("json", body)))
    (record,) = log.read(log.consumer(topic), 1)
    assert formats.parse(record.value or b"") == body


def test_a_topic_name_that_cannot_be_is_rejected(log: Log) -> None:
    topic = log.topic()
    messages = [Message(topic=name, key="joe", value=b"x") for name in (topic, "x" * 300, topic)]
    outcomes = log.producer().submit(messages, timeout_seconds=20).wait(20)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), MessageRejected, type(None)]


def test_several_threads_send_at_once(log: Log) -> None:
    topic = log.topic()

    def send(name: str) -> None:
        try:
            log.send(topic, *[(name, b"%d" % number) for number in range(40)])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=(f"thread-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    records = log.read(log.consumer(topic), 160)
    for name in (f"thread-{number}" for number in range(4)):
        values = [record.value for record in records if record.key_text == name]
        assert values == [b"%d" % number for number in range(40)]


@pytest.mark.needs("processes")
def test_a_forked_process_sends_with_a_client_of_its_own(log: Log) -> None:
    topic = log.topic()
    log.send(topic, ("parent", b"before"))
    _in_a_child(lambda: log.send(topic, ("child", b"meanwhile")))
    log.send(topic, ("parent", b"after"))
    values = {record.value for record in log.read(log.consumer(topic), 3)}
    assert values == {b"before", b"meanwhile", b"after"}


def _in_a_child(work) -> None:  # type: ignore[no-untyped-def]
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  (the child tells all, and ends here)
            import traceback

            traceback.print_exc()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_a_producer_sends_what_it_holds_and_it_can_be_used_again(log: Log) -> None:
    topic = log.topic()
    producer = log.producer()
    delivery = producer.submit([Message(topic=topic, key="a", value=b"1")], timeout_seconds=20)
    producer.close()
    assert delivery.wait(20)[0].error is None
    producer.send(topic, "a", b"2")
    assert [record.value for record in log.read(log.consumer(topic), 2)] == [b"1", b"2"]


def test_flush_waits_for_every_outcome(log: Log) -> None:
    producer = log.producer()
    delivery = producer.submit([Message(topic=log.topic(), key="a", value=b"1")], timeout_seconds=20)
    producer.flush(20)
    assert delivery.done


def test_settings_as_they_are_shipped_pass_the_checks(log: Log) -> None:
    assert [*log.producer_class.check(), *log.consumer_class.check()] == []
