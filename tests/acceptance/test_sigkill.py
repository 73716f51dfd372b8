"""Nothing committed is lost and nothing uncommitted is sent, at whatever point a process is killed with SIGKILL."""

from __future__ import annotations

import signal
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.killpoints import COMMITTED, UNCOMMITTED
from tests.acceptance.project import Project

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL
WHILE_SENDING = COMMITTED[1:]


@pytest.fixture
def uuid() -> str:
    return str(uuid4())


@pytest.mark.parametrize("point", UNCOMMITTED)
def test_what_was_not_committed_is_neither_kept_nor_sent(any_project: Project, uuid: str, point: str) -> None:
    assert any_project.killed(point, "save", uuid, "Joe") == KILLED
    any_project.child("save", str(uuid4()), "somebody else", LOGPIPE_RELAY="worker")

    assert any_project.child("restart", uuid) == {"stored": [], "sent": [], "pending": 0}


@pytest.mark.parametrize("point", COMMITTED)
def test_what_was_committed_is_on_the_log_after_a_restart(any_project: Project, uuid: str, point: str) -> None:
    """The process that saved dies on its way to the log; what starts next sends what it left."""
    assert any_project.killed(point, "save", uuid, "Joe") == KILLED

    assert_arrived(any_project.child("restart", uuid))


@pytest.mark.parametrize("point", WHILE_SENDING)
def test_what_a_killed_relay_had_in_hand_is_sent_by_the_next(any_project: Project, uuid: str, point: str) -> None:
    any_project.child("save", uuid, "Joe", LOGPIPE_RELAY="worker")
    assert any_project.killed(point, "relay") == KILLED

    assert_arrived(any_project.child("restart", uuid))


@pytest.mark.parametrize("point", WHILE_SENDING)
def test_a_later_change_is_never_followed_by_an_earlier_one(project: Project, uuid: str, point: str) -> None:
    assert project.killed(point, "save", uuid, "Joe") == KILLED
    project.child("save", uuid, "Joseph", LOGPIPE_RELAY="worker")

    names = names_in(project.child("restart", uuid)["sent"])

    assert names == sorted(names, key=["Joe", "Joseph"].index)
    assert names[-1] == "Joseph"


def assert_arrived(state: dict[str, Any]) -> None:
    """Once or, where the kill came between sending and retiring, twice; nothing else, and nothing left behind."""
    assert state["stored"] == ["Joe"]
    assert set(names_in(state["sent"])) == {"Joe"}
    assert len(state["sent"]) <= 2
    assert state["pending"] == 0


def names_in(messages: list[str]) -> list[str]:
    return [message.partition('"first_name":"')[2].partition('"')[0] for message in messages]
