"""`manage.py logpipe_status`: readable, parseable, and an exit code for those who have no eyes."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals import monitoring
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.models import DeadLetter
from logpipe_signals.status import screen, thresholds
from logpipe_signals.status.figures import figures
from logpipe_signals.status.table import table
from tests.unit.monitoring.conftest import BACKEND, PEOPLE, fill

pytestmark = pytest.mark.django_db(databases="__all__")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LONG = "a-name-that-somebody-made-much-longer-than-any-table-has-room-for-in-80-columns"


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: Callable[..., None]) -> None:
    logpipe_settings(
        CONSUMER_BACKEND=f"{BACKEND}.Consumer", OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore", RELAY="worker"
    )


def everything(name: str = "people") -> monitoring.Overview:
    """Return an overview in which each list has a row."""
    running: dict[str, Any] = {"using": "default", "name": name, "host": name, "pid": 4321, "since": NOW}
    partition: dict[str, Any] = {"group": name, "topic": name, "partition": "0", "moved_seconds_ago": 7.25}
    return monitoring.Overview(
        taken_at=NOW,
        databases=("default",),
        outbox=(
            monitoring.OutboxDepth(
                using="default", publication=name, topic=name, rows=1_234_567, backfill_rows=1_000_000,
                retrying_rows=3, oldest_seconds=4000.0, is_exact=False,
            ),
        ),
        lanes=(monitoring.LaneCover(using="default", lanes=64, held=64, owners=1),),
        relays=(monitoring.RunningRelay(**running, seen_seconds_ago=95.0, is_gone=True, lanes=(1, 2)),),
        consumers=(
            monitoring.RunningConsumer(
                **running, seen_seconds_ago=2.0, is_gone=False, group=name, topics=(name, "cities"),
                partitions=(TopicPartition(name, "0"),),
            ),
        ),
        lag=monitoring.LagReport(
            partitions=(monitoring.PartitionLag(**partition, position="7", records=12_000, behind_seconds=None),)
        ),
        dead_letters=(
            monitoring.DeadLetterCount(
                using="default", side="consumer", state="open", topic=name, count=5000, is_exact=False
            ),
        ),
        backfills=(
            monitoring.BackfillProgress(
                using="default", id=7, publication=name, topic=name, state="running", rows_done=50, rows_total=200,
                rows_a_second=10.0, seconds_left=15.0, moved_seconds_ago=1.0,
            ),
        ),
        audits=(
            monitoring.AuditProgress(
                using="default", run="0b9c525a", group=name, topic=name, message_type=name, state="done",
                missing=1, extra=0, different=2,
            ),
        ),
        problems=("The log did not answer within 5 s: where its partitions end.",),
    )  # fmt: skip


def plain(text: str, role: str) -> str:
    return text


@pytest.mark.parametrize("name", ["people", LONG])
def test_the_table_fits_80_columns(name: str) -> None:
    assert max(map(len, table(everything(name), plain).splitlines())) <= 80


def test_the_table_tells_everything_there_is() -> None:
    text = table(everything(), plain)
    for told in (
        "~1,234,567",
        "1h 6m",
        "GONE 1m 35s",
        "people:4321",
        "12,000",
        "over 5,000",
        "50 of 200",
        "10/s",
        "! The",
    ):
        assert told in text, told


def test_the_table_says_where_there_is_nothing() -> None:
    text = table(monitoring.Overview(taken_at=NOW, databases=("default",)), plain)
    for told in ("nothing waits", "none runs", "no group has a position here", "none waits"):
        assert told in text


def test_an_unknown_lag_is_no_zero() -> None:
    partition = monitoring.PartitionLag(
        group="g", topic="t", partition="0", position="7", records=None, behind_seconds=None, moved_seconds_ago=1
    )
    seen = monitoring.Overview(taken_at=NOW, databases=(), lag=monitoring.LagReport(partitions=(partition,)))
    assert re.search(r"7 +\? ", table(seen, plain))


def test_the_json_has_the_members_that_are_documented() -> None:
    told = figures(everything())
    assert json.loads(json.dumps(told)) == told
    documented = set(re.findall(r'"(\w+)":', figures.__doc__ or ""))
    assert set(told) == documented
    assert set(told["outbox"][0]) == {field.name for field in fields(monitoring.OutboxDepth)}
    assert told["relays"][0]["since"] == "2026-01-31T12:00:00+00:00"


def test_the_command_prints_what_the_databases_hold() -> None:
    fill(3)
    DeadLetter.objects.using("subscriber").create(side="consumer", topic="people", reason="E", error="")
    out = io.StringIO()
    call_command("logpipe_status", stdout=out)
    assert re.search(rf"{re.escape(PEOPLE)} +default +3 ", out.getvalue())
    assert re.search(r"people +subscriber +consumer +open +1", out.getvalue())
    assert "\x1b" not in out.getvalue()


def test_the_command_looks_at_one_database_where_told() -> None:
    fill(3)
    out = io.StringIO()
    call_command("logpipe_status", "--json", "--database", "subscriber", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["databases"], told["format"]) == (["subscriber"], 1)


@pytest.mark.parametrize(
    ("bounds", "broken"),
    [
        ("oldest>300", True),
        ("oldest>5000", False),
        ("lag>10000", True),
        ("dead>0,lag>99999", True),
        ("relays<1", True),
        ("consumers<1", False),
        ("gone>0", True),
        ("drift>2", True),
        ("drift>3", False),
        ("problems>0", True),
        ("behind>5", False),
        ("outbox > 2000000", False),
        ("", False),
    ],
)
def test_a_threshold_is_broken_or_not(bounds: str, *, broken: bool) -> None:
    assert any(bound.broken_by(everything()) for bound in thresholds.parse(bounds)) is broken


def test_a_lag_that_cannot_be_told_breaks_its_threshold() -> None:
    partition = monitoring.PartitionLag(
        group="g", topic="t", partition="0", position="7", records=None, behind_seconds=None, moved_seconds_ago=1
    )
    seen = monitoring.Overview(taken_at=NOW, databases=(), lag=monitoring.LagReport(partitions=(partition,)))
    (bound,) = thresholds.parse("lag>10")
    assert bound.broken_by(seen) == "lag cannot be told"


def test_a_broken_threshold_ends_with_code_1_and_says_which() -> None:
    fill(3)
    err = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("logpipe_status", "--fail-on", "outbox>2,dead>0", stdout=io.StringIO(), stderr=err)
    assert ended.value.code == 1
    assert "outbox is 3" in err.getvalue()
    assert "dead" not in err.getvalue()


@pytest.mark.parametrize("text", ["oldest", "oldest>soon", "age>3", "oldest>=3"])
def test_a_threshold_that_is_none_is_refused_with_the_names_there_are(text: str) -> None:
    with pytest.raises(CommandError, match="oldest, outbox, lag"):
        call_command("logpipe_status", "--fail-on", text, stdout=io.StringIO())


def test_watching_draws_again_and_ends_with_q() -> None:
    code = (
        "import sys; from django.core.management.base import OutputWrapper; from logpipe_signals.status import screen\n"
        "pages = iter(['one', 'two', 'three'])\n"
        "screen.watch(lambda: next(pages), OutputWrapper(sys.stdout), seconds=60)"
    )
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    for page, key in ((b"one", b" "), (b"two", b"q")):
        while page not in seen or b"q ends it" not in seen.partition(page)[2]:
            seen += os.read(keyboard, 1000)
        os.write(keyboard, key)
    assert process.wait(20) == 0
    os.close(keyboard)
    assert b"three" not in seen


def test_watching_without_a_terminal_prints_page_after_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.management.base import OutputWrapper

    pages = iter(["one", "two"])

    def page() -> str:
        try:
            return next(pages)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(screen.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    out = io.StringIO()
    screen.watch(page, OutputWrapper(out), seconds=1)
    assert out.getvalue() == "one\ntwo\n"
