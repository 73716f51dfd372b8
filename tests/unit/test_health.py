"""Liveness and readiness: cheap, bounded, and without a secret in the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from logpipe_signals import health
from logpipe_signals.backend import dummy
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.models import Offset, OutboxRow
from logpipe_signals.monitoring import behind
from tests.conftest import ChangeSettings
from tests.unit.monitoring.conftest import BACKEND, fill

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: ChangeSettings) -> None:
    behind._recent.answers.clear()
    logpipe_settings(
        CONSUMER_BACKEND=f"{BACKEND}.Consumer", OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore", RELAY="worker"
    )


def ask(path: str) -> tuple[int, Any]:
    response = Client().get(f"/logpipe/{path}")
    return response.status_code, response.json()


def test_a_process_that_answers_is_live_whatever_its_databases_do(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert ask("live") == (200, {"status": "live"})


def test_a_process_is_ready_when_its_databases_answer() -> None:
    answer = ask("ready")
    assert answer == (200, {"status": "ready", "checks": {"database default": "ok", "database subscriber": "ok"}})


def test_readiness_costs_a_statement_a_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1), django_assert_num_queries(1, connection=connections["subscriber"]):
        health.readiness()


def test_a_database_that_is_away_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(using: str) -> None:
        if using == "subscriber":
            raise OperationalError("connection to postgresql://joe:secret@db failed")

    monkeypatch.setattr(health, "_answers", away)
    status, body = ask("ready")
    assert (status, body["status"]) == (503, "not ready")
    assert body["checks"]["database subscriber"] == "fails: OperationalError"
    assert "secret" not in str(body)


def test_an_old_change_makes_it_unready_only_where_that_is_asked() -> None:
    fill(1)
    OutboxRow.objects.update(created_at=timezone.now() - timedelta(seconds=500))
    assert ask("ready")[0] == 200
    assert ask("ready?max_oldest_seconds=3600")[0] == 200
    status, body = ask("ready?max_oldest_seconds=300")
    assert status == 503
    assert body["checks"]["oldest_seconds"]["value"] == pytest.approx(500, abs=20)


def test_a_lag_beyond_its_bound_makes_it_unready() -> None:
    dummy.create_topic("people", partitions=1)
    for number in range(5):
        dummy.Producer().send("people", "k", b"json:%d" % number)
    Offset.objects.using("subscriber").create(log="dummy", group="g", topic="people", partition="0", position="1")
    assert ask("ready?max_lag_records=4")[0] == 200
    status, body = ask("ready?max_lag_records=3")
    assert (status, body["checks"]["lag_records"]) == (503, {"value": 4, "at_most": 3.0})


def test_a_lag_that_cannot_be_told_makes_it_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise BackendUnavailable("away")

    Offset.objects.using("subscriber").create(log="dummy", group="g", topic="people", partition="0", position="1")
    monkeypatch.setattr(dummy.Consumer, "lag", away)
    assert ask("ready?max_lag_records=10")[0] == 503


def test_a_bound_that_is_no_number_is_refused() -> None:
    assert ask("ready?max_oldest_seconds=soon")[0] == 400


def test_probes_only_read() -> None:
    assert Client().post("/logpipe/live").status_code == 405
    assert "no-store" in Client().get("/logpipe/ready").headers["Cache-Control"]
