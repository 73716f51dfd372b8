"""Echo: two services that publish the same table to each other come to rest."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


@pytest.fixture
def services(migrated: Project, tmp_path: Path, kafka_broker: str) -> list[Project]:
    """Return two services on one Kafka, each with a database of its own."""
    return [
        Project(
            folder=Path(shutil.copytree(migrated.folder, tmp_path / name)),
            changes={
                "DJANGO_SETTINGS_MODULE": "tests.acceptance.twoway.settings",
                "LOGPIPE_BACKEND": "kafka",
                "LOGPIPE_RELAY": "worker",
                "LOGPIPE_SETTINGS": '{"CONSUMER_DATABASE": "default", "LEASE_SECONDS": 1.0}',
                "KAFKA_BOOTSTRAP_SERVERS": kafka_broker,
            },
        )
        for name in ("here", "there")
    ]


def test_two_services_that_publish_one_table_to_each_other_come_to_rest(services: list[Project]) -> None:
    here, there = services
    uuids = [str(uuid4()) for _ in range(2)]
    with ExitStack() as running:
        for service in services:
            group = f"two-way-{uuid4()}"
            service.child("begin_here", group)
            running.enter_context(service.running("run_relay"))
            running.enter_context(service.running("run_consumer", "--topic", "people", "--group", group))
        here.child("save", uuids[0], "from here")
        there.child("save", uuids[1], "from there")
        assert here.child("await_people", *uuids) == there.child("await_people", *uuids)
        there.child("save", uuids[0], "renamed there")
        assert here.child("await_name", uuids[0], "renamed there")
        assert [service.child("pending") for service in services] == [[], []]

    sent = here.child("sent_about", *uuids)
    assert sorted(sent) == ["from here", "from there", "renamed there"], "and no echo"
