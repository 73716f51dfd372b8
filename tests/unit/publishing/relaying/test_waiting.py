"""An idle relay: it looks soon after there was work, ever more seldom after that, and at once when it is woken."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from logpipe_signals.publishing.waiting import FIRST_PAUSE_SECONDS, Waiter
from tests.conftest import ChangeSettings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waiter(logpipe_settings: ChangeSettings) -> Iterator[Waiter]:
    logpipe_settings(RELAY_POLL_SECONDS=0.08, LEASE_SECONDS=15)
    made = Waiter(["default"])
    yield made
    made.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were waited for, without waiting."""
    asked: list[float] = []

    def nothing_comes(read: Any, write: Any, broken: Any, seconds: float) -> tuple[list[Any], list[Any], list[Any]]:
        asked.append(seconds)
        return [], [], []

    monkeypatch.setattr(select, "select", nothing_comes)
    return asked


def test_pauses_grow_up_to_the_setting_and_begin_anew_after_work(waiter: Waiter, pauses: list[float]) -> None:
    for _ in range(5):
        waiter.wait()
    waiter.worked()
    waiter.wait()

    assert pauses == [FIRST_PAUSE_SECONDS, 0.02, 0.04, 0.08, 0.08, FIRST_PAUSE_SECONDS]


def test_a_relay_never_waits_longer_than_its_leases_allow(
    waiter: Waiter, pauses: list[float], logpipe_settings: ChangeSettings
) -> None:
    logpipe_settings(RELAY_POLL_SECONDS=3600, LEASE_SECONDS=3)
    for _ in range(12):
        waiter.wait()

    assert max(pauses) == 1


@pytest.mark.postgres
def test_where_nobody_can_listen_the_relay_polls(
    waiter: Waiter, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> Any:
        raise psycopg.OperationalError("LISTEN is not allowed in transaction pooling")

    monkeypatch.setattr(psycopg, "connect", refused)
    for _ in range(3):
        waiter.wait()

    assert pauses == [FIRST_PAUSE_SECONDS, 0.02, 0.04]
