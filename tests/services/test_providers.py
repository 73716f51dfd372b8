"""An address that the environment names is taken; no service is started beside it."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from testproject.services import provided_kafka, provided_kinesis, provided_mariadb, provided_postgres, providers


def test_a_named_kafka_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    with provided_kafka() as bootstrap_servers:
        assert bootstrap_servers == "kafka.example:9092"


def test_a_named_kinesis_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESIS_ENDPOINT_URL", "http://kinesis.example:4567")
    with provided_kinesis() as endpoint_url:
        assert endpoint_url == "http://kinesis.example:4567"


def test_a_named_database_is_taken_by_whom_it_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me@db.example/shop")
    with provided_mariadb() as url:
        assert url == "mysql://me@db.example/shop"
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.example/shop")
    with provided_postgres() as url:
        assert url == "postgresql://me@db.example/shop"


def test_a_database_of_another_kind_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me@db.example/shop")
    monkeypatch.setattr(providers, "PostgresServer", lambda: nullcontext(SimpleNamespace(url="a started one's")))
    with provided_postgres() as url:
        assert url == "a started one's"
