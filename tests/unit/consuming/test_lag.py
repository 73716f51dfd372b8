"""MIN_MESSAGE_LAG_MS: a record waits until it is old enough, and no other partition waits with it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from logpipe_signals import Consumer
from logpipe_signals.backend import dummy
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def age_records_of(partition: int, seconds: float) -> None:
    """Make the records of one partition older."""
    records = dummy._log.topics["people"][partition]
    records[:] = [record._replace(timestamp=record.timestamp - seconds * 1000) for record in records]


def test_a_young_record_is_applied_when_it_is_old_enough(logpipe_settings: Callable[..., None]):
    logpipe_settings(MIN_MESSAGE_LAG_MS=200)
    put_message(person(1))
    sent_at = time.time()
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    assert consumer.run().applied == 1
    assert time.time() - sent_at >= 0.19


def test_a_young_record_does_not_hold_up_another_partition(logpipe_settings: Callable[..., None]):
    logpipe_settings(MIN_MESSAGE_LAG_MS=3_600_000)
    dummy.create_topic("people", partitions=2)
    for number in range(20):
        put_message(person(number), key=str(number))
    age_records_of(1, 7200)
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    old = len(dummy._log.topics["people"][1])
    assert consumer.run(iter_limit=old).applied == old
    assert PersonCopy.objects.count() == old


def test_a_publishers_clock_that_is_ahead_holds_a_record_no_longer_than_the_lag(logpipe_settings: Callable[..., None]):
    logpipe_settings(MIN_MESSAGE_LAG_MS=50)
    put_message(person(1))
    age_records_of(0, -7200)
    consumer = Consumer("people", consumer_timeout_ms=2000)
    consumer.register(PersonCopySerializer)
    assert consumer.run(iter_limit=1).applied == 1
