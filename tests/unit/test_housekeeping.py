"""What is done with goes after its days; what is still needed stays, whatever its age."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone

from logpipe_signals import housekeeping
from logpipe_signals.backend import database
from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.housekeeping import batches, guard, log
from logpipe_signals.models import (
    AppliedSequence,
    Audit,
    AuditFinding,
    AuditRange,
    Backfill,
    DeadLetter,
    LogRecord,
    Offset,
    OutboxRow,
    Presence,
    TrailEntry,
)
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.models.dead_letters import DeadLetterState
from tests.conftest import ChangeSettings

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])

OLD = timezone.now() - timedelta(days=1000)


def letter(state: str, *, age: Any = OLD, identity: str = "person:1") -> DeadLetter:
    made = DeadLetter.objects.create(
        side="consumer", state=state, topic="people", identity=identity, reason="E", error=""
    )
    DeadLetter.objects.filter(pk=made.pk).update(created=age, modified=age)
    return made


def rows_removed(kind: str, using: str = "default", **options: Any) -> int:
    (found,) = housekeeping.prune(using, kinds=[kind], **options)
    return found.rows


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_closed_letters_go_and_open_ones_stay() -> None:
    for state in DeadLetterState:
        letter(state)
    assert rows_removed("dead_letters") == 3
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"open", "parked"}


def test_open_letters_go_only_when_that_is_asked_for() -> None:
    letter(DeadLetterState.OPEN)
    assert rows_removed("dead_letters", open_too=True) == 1


def test_a_letter_closed_lately_stays_however_old_it_is() -> None:
    closed = letter(DeadLetterState.REPLAYED)
    DeadLetter.objects.filter(pk=closed.pk).update(modified=timezone.now())
    assert rows_removed("dead_letters") == 0


def test_many_rows_go_in_small_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)
    for _ in range(5):
        letter(DeadLetterState.SKIPPED)
    assert rows_removed("dead_letters") == 5


# --- the guard --------------------------------------------------------------------------------------------------------


def mark(identity: str, *, deleted: bool = False, age: Any = OLD) -> AppliedSequence:
    made = AppliedSequence.objects.create(digest=uuid4(), identity=identity, sequence=1, deleted=deleted)
    AppliedSequence.objects.filter(pk=made.pk).update(applied_at=age)
    return made


def test_guard_rows_go_after_their_days_and_remembered_deletes_after_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "STEP_ROWS", 2)
    half_a_year = timezone.now() - timedelta(days=180)
    for number in range(5):
        mark(f"person:{number}", age=half_a_year)
        mark(f"gone:{number}", age=half_a_year, deleted=True)
    young = mark("person:9", age=timezone.now())
    assert rows_removed("guard") == 5
    assert rows_removed("deletes") == 0
    assert set(AppliedSequence.objects.filter(deleted=False)) == {young}
    assert rows_removed("deletes", days=100) == 5


def test_a_guard_row_stays_while_a_letter_of_its_identity_may_be_replayed() -> None:
    mark("person:1")
    waiting = letter(DeadLetterState.OPEN)
    assert rows_removed("guard") == 0
    DeadLetter.objects.filter(pk=waiting.pk).update(state=DeadLetterState.REPLAYED)
    assert rows_removed("guard") == 1


def test_a_number_of_days_for_all_kinds_is_none_for_the_guard() -> None:
    mark("person:1", age=timezone.now() - timedelta(days=60))
    mark("person:2", deleted=True, age=timezone.now() - timedelta(days=60))
    removed = {found.kind: found.rows for found in housekeeping.prune("default", days=1)}
    assert removed["guard"] == removed["deletes"] == 0


# --- jobs, trail, presences -------------------------------------------------------------------------------------------


def test_an_old_audit_goes_with_its_ranges_and_findings() -> None:
    audit = Audit.objects.create(
        run="r", group="g", topic="people", message_type="person", version=1, source="s", rounds=1
    )
    Audit.objects.update(created=OLD)
    AuditRange.objects.create(audit=audit, round=1, number=1, partition="0", sequence=1)
    AuditFinding.objects.create(audit=audit, key_hash=1, kind="extra", state="confirmed", round=1)
    assert rows_removed("audits") == 3


def test_finished_backfills_go_and_paused_ones_stay() -> None:
    for state in BackfillState:
        Backfill.objects.create(publication="people", state=state, finished_at=OLD)
    assert rows_removed("backfills") == 3
    assert set(Backfill.objects.values_list("state", flat=True)) == {"waiting", "running", "paused"}


def test_trail_and_presences_go() -> None:
    TrailEntry.objects.create(who="joe", action="looked", target="deadletter", target_id="1")
    TrailEntry.objects.update(at=OLD)
    Presence.objects.create(kind="relay", name="one", host="here", pid=1, seen_at=OLD)
    assert rows_removed("trail") == rows_removed("presences") == 1


def test_the_outbox_is_never_touched() -> None:
    OutboxRow.objects.create(publication="people", object_id="1", key="1", lane=0, created_at=OLD)
    housekeeping.prune("default", days=0.001, open_too=True, force=True)
    assert OutboxRow.objects.count() == 1


# --- the embedded log -------------------------------------------------------------------------------------------------


@pytest.fixture
def records(logpipe_settings: ChangeSettings) -> None:
    """Ten old records and a young one on one partition."""
    logpipe_settings(
        PRODUCER_BACKEND="logpipe_signals.backend.database.Producer",
        OFFSET_BACKEND="logpipe_signals.backend.database.ModelOffsetStore",
        DATABASE_LOG_PARTITIONS=1,
    )
    messages = [Message("people", str(number), b"{}") for number in range(11)]
    database.Producer().submit(messages, timeout_seconds=10).wait(10)
    LogRecord.objects.filter(offset__lt=10).update(created_at=OLD)


def stands(group: str, position: str | None) -> None:
    Offset.objects.using("subscriber").update_or_create(
        log=log.LOG, group=group, topic="people", partition="0", defaults={"position": position}
    )


@pytest.mark.usefixtures("records")
def test_old_records_go_in_batches_when_every_group_has_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BATCH_ROWS", 3)
    stands("fast", "11")
    assert rows_removed("log", dry_run=True) == 10
    assert rows_removed("log") == 10
    assert list(LogRecord.objects.values_list("offset", flat=True)) == [10]


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(("position", "stay"), [("4", 6), (None, 10)])
def test_records_that_the_slowest_group_did_not_read_stay(position: str | None, stay: int) -> None:
    stands("fast", "11")
    stands("slow", position)
    (found,) = housekeeping.prune("default", kinds=["log"])
    assert found.rows == 10 - stay
    assert [(held.group, held.records) for held in found.held] == [("slow", stay)]
    assert rows_removed("log", force=True) == stay


@pytest.mark.usefixtures("records")
def test_the_log_is_looked_at_on_its_own_database_only() -> None:
    assert housekeeping.prune("subscriber", kinds=["log"]) == []


# --- settings, the command, locks -------------------------------------------------------------------------------------


def test_a_kind_that_is_kept_for_ever(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(RETENTION_DAYS={"dead_letters": None})
    letter(DeadLetterState.REPLAYED)
    assert rows_removed("dead_letters") == 0
    logpipe_settings(RETENTION_DAYS={"dead_letter": 3})
    with pytest.raises(DeclarationError, match="Did you mean 'dead_letters'"):
        housekeeping.prune("default")


def told(*arguments: str) -> str:
    output = StringIO()
    call_command("prune_logpipe", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_counts_first_and_then_removes() -> None:
    letter(DeadLetterState.REPLAYED)
    arguments = ("--database", "default", "--only", "dead_letters")
    assert told(*arguments, "--dry-run") == "default: dead_letters older than 30 days: 1 would go\n"
    assert told(*arguments) == "default: dead_letters older than 30 days: 1 removed\n"
    assert told(*arguments) == "default: dead_letters older than 30 days: 0 removed\n"


@pytest.mark.usefixtures("records")
def test_the_command_says_who_holds_the_log_back() -> None:
    stands("slow", "4")
    assert "group 'slow' stands at 4" in told("--only", "log")


def test_the_command_refuses_no_days() -> None:
    with pytest.raises(CommandError, match="above 0"):
        told("--days", "0")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True, databases=["default", "subscriber"])
def test_rows_that_somebody_holds_are_not_waited_for() -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("SQLite locks no rows")
    held, free = letter(DeadLetterState.REPLAYED), letter(DeadLetterState.REPLAYED)
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {DeadLetter._meta.db_table} WHERE id = %s FOR UPDATE", [held.pk])
        assert rows_removed("dead_letters") == 1
        assert not DeadLetter.objects.filter(pk=free.pk).exists()
    finally:
        other.rollback()
        other.close()


@pytest.mark.postgres
def test_each_question_has_an_index() -> None:
    """With a sequential scan forbidden a plan has one only where no index serves."""
    if connections["default"].vendor != "postgresql":
        pytest.skip("reads PostgreSQL's plans")
    before = timezone.now()
    asked = [*housekeeping.KINDS["dead_letters"].rows(before), *housekeeping.KINDS["trail"].rows(before)]  # type: ignore[misc]
    asked.append(guard._old(before, deleted=False).filter(digest__gt=uuid4(), digest__lte=uuid4()))
    asked.append(LogRecord.objects.filter(partition=1, offset__lt=10))
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for rows in asked:
            plan = rows.explain()
            assert "Seq Scan" not in plan, plan


@pytest.mark.postgres
def test_the_outbox_is_vacuumed_by_numbers_of_its_own() -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("autovacuum is PostgreSQL's")
    options = options_of_the_outbox()
    assert "autovacuum_vacuum_scale_factor=0" in options
    assert "autovacuum_vacuum_threshold=5000" in options


@pytest.mark.postgres
def test_the_settings_of_the_outbox_go_with_their_migration() -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("autovacuum is PostgreSQL's")
    migration = import_module("logpipe_signals.migrations.0006_housekeeping")
    with connections["default"].schema_editor() as editor:
        migration.untune(None, editor)
        assert options_of_the_outbox() is None
        migration.tune(None, editor)
    assert len(options_of_the_outbox()) == len(migration.OPTIONS)


def options_of_the_outbox() -> Any:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [OutboxRow._meta.db_table])
        return cursor.fetchone()[0]
