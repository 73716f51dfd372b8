"""End to end by processes of their own: one saves, one relays, one consumes."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.acceptance.project import Project

pytestmark = pytest.mark.slow


def test_what_one_process_saves_another_applies(any_project: Project) -> None:
    """Worker mode, as in production: the saving process does no sending."""
    group = f"acceptance-{uuid4()}"
    any_project.child("begin_here", group)
    relay = any_project.running("run_relay", LOGPIPE_RELAY="worker")
    consumer = any_project.running("run_consumer", "--topic", "people", "--group", group)
    with relay as relaying, consumer as consuming:
        any_project.child("save_many", "30", LOGPIPE_RELAY="worker")
        differences = any_project.child("compare_until_equal")

    assert differences == []
    assert (relaying.returncode, consuming.returncode) == (0, 0), "both end cleanly on SIGTERM"


def test_the_saving_process_sends_where_there_is_no_relay(project: Project) -> None:
    project.child("save_many", "10")
    assert "0 failed" in project.manage("run_consumer", "--until-caught-up")

    assert project.child("compare_until_equal") == []


def test_a_row_written_past_save_is_published_by_republish_all(project: Project) -> None:
    project.child("save_in_bulk", "3")
    assert "3 rows sent" in project.manage("republish_all", "people")
    project.manage("run_consumer", "--until-caught-up")

    assert project.child("compare_until_equal") == []
