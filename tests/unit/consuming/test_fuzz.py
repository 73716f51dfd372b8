"""Hostile bytes between good records: the good ones are applied, the bad ones kept, and nothing ends the run."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logpipe_signals import Consumer
from logpipe_signals.backend import dummy
from logpipe_signals.models import DeadLetter, Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person, put, put_message

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.slow]

BAD_RECORDS_A_RUN = 100
RECORDS_IN_CI = 10_000
RUNS = RECORDS_IN_CI // BAD_RECORDS_A_RUN if os.environ.get("CI") == "true" else 10

_fuzzed: list[int] = []

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
messages = st.fixed_dictionaries(
    {}, optional={"uuid": values, "first_name": values, "last_name": values, "email": values, "x\x00": values}
)
bodies = st.fixed_dictionaries(
    {}, optional={"type": st.just("person") | values, "version": st.just(1) | values, "message": messages | values}
)
shaped = bodies.map(lambda body: b"json:" + json.dumps(body).encode("utf-8", "surrogatepass"))


def truncated(value: bytes, at: int) -> bytes:
    return value[: at % (len(value) + 1)]


bad_bytes = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.binary(max_size=200).map(lambda tail: b"json:" + tail),
    st.binary(max_size=200).map(lambda tail: b"msgpack:" + tail),
    st.binary(max_size=50).map(lambda tail: b"pickle:" + tail),
    st.integers(1, 60_000).map(lambda depth: b'json:{"type":' + b"[" * depth),
    shaped,
    st.builds(truncated, shaped, st.integers(0, 10_000)),
)
headers = st.lists(
    st.tuples(st.sampled_from(["logpipe-identity", "logpipe-sequence", "logpipe-source", "x"]), st.binary(max_size=40)),
    max_size=4,
).map(tuple)
bad_records = st.lists(
    st.tuples(bad_bytes, st.none() | st.text(st.characters(codec="utf-8"), max_size=20), headers),
    min_size=BAD_RECORDS_A_RUN,
    max_size=BAD_RECORDS_A_RUN,
)


def test_hostile_bytes_stop_nothing():
    apply_hostile_records()
    assert sum(_fuzzed) >= BAD_RECORDS_A_RUN * RUNS
    assert os.environ.get("CI") != "true" or sum(_fuzzed) >= RECORDS_IN_CI


@given(bad=bad_records)
@settings(
    max_examples=RUNS,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
def apply_hostile_records(bad: list[tuple[bytes | None, str | None, Any]]):
    forget_everything()
    for number, (value, key, fuzzed_headers) in enumerate(bad):
        put(value, key=key, headers=fuzzed_headers)
        if number % 10 == 0:
            put_message(person(number, "good"))
    consumer = Consumer("people", consumer_timeout_ms=1, on_unknown_type="dead_letter")
    consumer.register(PersonCopySerializer)
    tally = consumer.run()
    assert tally.applied + tally.failed == tally.handled == len(bad) + 10
    assert PersonCopy.objects.filter(first_name="good").count() == 10
    assert DeadLetter.objects.using("subscriber").count() == tally.failed
    _fuzzed.append(len(bad))


def forget_everything() -> None:
    dummy.reset_topics()
    dummy.create_topic("people")
    PersonCopy.objects.all().delete()
    DeadLetter.objects.using("subscriber").all().delete()
    Offset.objects.using("subscriber").all().delete()
