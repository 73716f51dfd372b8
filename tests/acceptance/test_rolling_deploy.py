"""Rolling deploys: an old and a new release of the project and of the package side by side over one outbox."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.acceptance.project import Project
from tests.acceptance.tomorrow import TOPIC

pytestmark = pytest.mark.slow
TOMORROW = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.tomorrow.settings"}
WORKER = {"LOGPIPE_RELAY": "worker"}


@pytest.fixture
def deploying(project: Project) -> Project:
    """Return a project whose database the next release of the package has migrated already: additively."""
    project.child("add_a_column_of_tomorrow")
    return project


def test_todays_relay_leaves_tomorrows_rows_and_comes_to_an_end(deploying: Project) -> None:
    uuid = str(uuid4())
    deploying.child("save", uuid, "Joe", **WORKER, **TOMORROW)

    deploying.manage("run_relay", "--drain", **WORKER)

    assert deploying.child("pending") == ["people.person:people-of-tomorrow"]
    assert deploying.child("first_names", "people") == ["Joe"]


def test_tomorrows_relay_sends_what_todays_left(deploying: Project) -> None:
    deploying.child("save", str(uuid4()), "Joe", **WORKER, **TOMORROW)
    deploying.manage("run_relay", "--drain", **WORKER)

    deploying.manage("run_relay", "--drain", **WORKER, **TOMORROW)

    assert deploying.child("pending") == []
    assert deploying.child("first_names", TOPIC) == ["Joe"]


def test_both_releases_write_and_relay_side_by_side(deploying: Project) -> None:
    todays = deploying.running("run_relay", **WORKER)
    tomorrows = deploying.running("run_relay", **WORKER, **TOMORROW)
    consumer = deploying.running("run_consumer", "--topic", "people")
    with todays, tomorrows, consumer:
        deploying.child("save_many", "10", **WORKER)
        deploying.child("save_many", "10", **WORKER, **TOMORROW)
        differences = deploying.child("compare_until_equal")

    deploying.manage("run_relay", "--drain", **WORKER, **TOMORROW)
    assert differences == []
    assert deploying.child("pending") == []
