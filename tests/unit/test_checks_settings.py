"""Numbers in the wrong unit, choices that need what is not there, and settings at odds with each other."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from logpipe_signals.checks import check_settings, check_values
from logpipe_signals.checks.values import BOUNDS
from logpipe_signals.conf import LogpipeSettings
from logpipe_signals.formats import compression, msgpack
from tests.conftest import ChangeSettings
from tests.unit.test_checks import only


def test_the_defaults_are_sound() -> None:
    assert check_values() == []


def test_every_number_has_a_bound() -> None:
    numbers = {
        name
        for name in LogpipeSettings.names()
        if isinstance(LogpipeSettings.__dict__[name], int | float)
        and not isinstance(LogpipeSettings.__dict__[name], bool)
        and not name.startswith("KINESIS")
    }
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize(
    ("name", "value", "said", "cure"),
    [
        ("LEASE_SECONDS", timedelta(seconds=15), "a timedelta", "Say the number: 15."),
        ("MIN_MESSAGE_LAG_MS", timedelta(seconds=2), "a timedelta", "Say the number: 2000."),
        ("LEASE_SECONDS", "15", "no number of seconds", "without quotes"),
        ("LEASE_SECONDS", True, "no number of seconds", "Say a number of seconds"),
        ("LEASE_SECONDS", None, "no number of seconds", "Say a number of seconds"),
        ("LEASE_SECONDS", 0, "too small", "Say more than 0, in seconds."),
        ("SWEEP_SECONDS", -1, "too small", "Say more than 0, in seconds."),
        ("SWEEP_SECONDS", float("nan"), "too small", "Say more than 0, in seconds."),
        ("RELAY_BATCH_SIZE", 1.5, "no whole number of rows", "Say a whole number of rows"),
        ("CONSUMER_BATCH_SIZE", 0, "too small", "Say 1 or more, in records."),
        ("MIN_MESSAGE_LAG_MS", -5, "too small", "Say 0 or more, in milliseconds."),
    ],
)
def test_a_number_that_means_nothing(
    logpipe_settings: ChangeSettings, name: str, value: Any, said: str, cure: str
) -> None:
    logpipe_settings(**{name: value})
    found = only(check_values(), "E025")
    assert f"LOGPIPE[{name!r}]" in found.msg
    assert said in found.msg
    assert cure in str(found.hint)


def test_milliseconds_where_seconds_are_meant(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(LEASE_SECONDS=15_000)
    assert "If milliseconds were meant, say 15." in str(only(check_values(), "W011").hint)


@pytest.mark.parametrize(
    ("changes", "smaller"),
    [
        ({"RELAY_SEND_TIMEOUT_SECONDS": 15.0, "LEASE_SECONDS": 15.0}, "RELAY_SEND_TIMEOUT_SECONDS"),
        ({"RELAY_RETRY_SECONDS": 90.0}, "RELAY_RETRY_SECONDS"),
        ({"INLINE_WAIT_SECONDS": 20.0}, "INLINE_WAIT_SECONDS"),
    ],
)
def test_times_at_odds(logpipe_settings: ChangeSettings, changes: dict[str, Any], smaller: str) -> None:
    logpipe_settings(**changes)
    found = only(check_values(), "W012")
    assert f"LOGPIPE[{smaller!r}]" in found.msg
    assert str(found.hint).startswith(f"Let {smaller} be smaller than ")


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ({"dead_letter": 3}, "Did you mean 'dead_letters'?"),
        ({"log": 0}, "Say a number of days above 0"),
        ({"log": timedelta(days=7)}, "Say a number of days above 0"),
    ],
)
def test_a_retention_that_means_nothing(logpipe_settings: ChangeSettings, days: Any, said: str) -> None:
    logpipe_settings(RETENTION_DAYS=days)
    assert said in only(check_values(), "E026").msg


def test_transactions_on_a_log_that_has_none(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(KAFKA_FENCING="transactions")
    assert "backend.kafka.Producer" in str(only(check_settings(), "E027").hint)
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.kafka.Producer")
    assert check_settings() == []


def test_a_compression_that_is_not_installed(logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "is_available", lambda code: code == "gzip")
    logpipe_settings(COMPRESSION="zstd")
    assert "logpipe_signals[zstd]" in str(only(check_settings(), "E022").hint)


def test_a_default_format_that_is_not_there(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(DEFAULT_FORMAT="yaml")
    assert "Known: json" in only(check_settings(), "E028").msg


def test_a_default_format_that_is_not_installed(
    logpipe_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise ImportError("The format msgpack needs msgpack: pip install 'logpipe_signals[msgpack]'.")

    monkeypatch.setattr(msgpack, "_msgpack", missing)
    logpipe_settings(DEFAULT_FORMAT="msgpack")
    assert "logpipe_signals[msgpack]" in only(check_settings(), "E028").msg


@pytest.mark.parametrize("name", ["group_id", "group.id"])
def test_a_group_named_twice(logpipe_settings: ChangeSettings, name: str) -> None:
    logpipe_settings(CONSUMER_GROUP="ours", KAFKA_CONSUMER_KWARGS={name: "theirs"})
    assert "'ours'" in only(check_settings(), "W014").msg
    logpipe_settings(CONSUMER_GROUP="theirs")
    assert check_settings() == []


@pytest.mark.parametrize("backend", ["kafka", "confluent"])
@pytest.mark.parametrize(
    ("setting", "options", "found"),
    [
        ("KAFKA_CONSUMER_KWARGS", {"enable_auto_commit": True}, ["W101"]),
        ("KAFKA_KWARGS", {"auto_offset_reset": "latest"}, ["W101"]),
        ("KAFKA_PRODUCER_KWARGS", {"acks": 1}, ["W102"]),
        ("KAFKA_KWARGS", {"acks": 0}, ["W102"]),
        ("KAFKA_PRODUCER_KWARGS", {"acks": "all"}, []),
    ],
)
def test_what_kafkas_clients_are_told_against_the_promises(
    logpipe_settings: ChangeSettings, backend: str, setting: str, options: dict[str, Any], found: list[str]
) -> None:
    module = import_module(f"logpipe_signals.backend.{backend}")
    logpipe_settings(**{setting: options})
    messages = {
        str(each.id).removeprefix("logpipe_signals.") for each in module.Producer.check() + module.Consumer.check()
    }
    assert messages == set(found)


def test_an_object_that_librdkafka_cannot_use(logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.backend.confluent import Producer

    logpipe_settings(KAFKA_KWARGS={"ssl_context": object()})
    assert "'ssl_context'" in only(Producer.check(), "E103").msg


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"KINESIS_SEQ_NUM_CACHE_SIZE": -1}, "E121"),
        ({"KINESIS_FETCH_LIMIT": 10_001}, "E122"),
        ({"KINESIS_SHARD_ITERATOR_TYPE": "AT_TIMESTAMP"}, "E123"),
        ({"KINESIS_FETCH_LIMIT": 25}, "I120"),
    ],
)
def test_settings_that_kinesis_does_not_take(
    logpipe_settings: ChangeSettings, changes: dict[str, Any], found: str
) -> None:
    from logpipe_signals.backend.kinesis import Consumer, Producer

    logpipe_settings(**{"KINESIS_FETCH_LIMIT": 1000, **changes})
    (name,) = changes
    assert f"LOGPIPE[{name!r}]" in only([*Producer.check(), *Consumer.check()], found).msg


def test_an_endpoint_that_is_no_url(logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.backend.kinesis import Producer

    logpipe_settings(KINESIS_ENDPOINT_URL="localhost:4567")
    assert "https://" in str(only(Producer.check(), "E124").hint)
