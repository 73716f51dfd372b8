"""The pytest plugin: its fixtures in a project of its own, and no harm in a session without Django."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = "logpipe_signals.testing.pytest_plugin"


def run(folder: Path, code: str, *arguments: str, **environment: str) -> str:
    """Run pytest in another process, as a project would that has the package installed."""
    (folder / "test_it.py").write_text(code)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "LOGPIPE", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, *arguments, str(folder)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_session_without_django_is_not_disturbed(tmp_path: Path) -> None:
    code = """
import sys
def test_nothing_of_django_is_there():
    assert not [name for name in sys.modules if name.split(".")[0] in ("django", "rest_framework", "kafka")]
"""
    assert "1 passed" in run(tmp_path, code, "-p", "no:django", "--strict-markers")


def test_a_projects_tests_have_the_fixtures(tmp_path: Path) -> None:
    code = """
import pytest
from testproject.people.models import Person
from testproject.mirror.models import PersonCopy

@pytest.mark.django_db
def test_captured(capture_published):
    with capture_published() as published:
        Person.objects.create(first_name="Joe")
    published.assert_one(type="person", fields={"first_name": "Joe"})

@pytest.mark.django_db(databases=["default", "subscriber"])
def test_arrives(logpipe_log):
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    logpipe_log.run()
    assert PersonCopy.objects.count() == 1

def test_settings(logpipe_settings, settings):
    logpipe_settings(PRODUCER_ID="me")
    assert settings.LOGPIPE["PRODUCER_ID"] == "me"

@pytest.mark.django_db
def test_fails(capture_published):
    with capture_published() as published:
        Person.objects.create(first_name="Joe")
    published.assert_one(fields={"first_name": "Jo"})
"""
    environment = {"DJANGO_SETTINGS_MODULE": "testproject.settings", "TESTPROJECT_DATA_DIR": str(tmp_path)}
    said = run(tmp_path, code, **environment)
    assert "1 failed, 3 passed" in said
    assert 'first_name: expected "Jo", was "Joe"' in said


def test_a_third_partys_log_is_held_to_the_suite(tmp_path: Path) -> None:
    code = """
import pytest
from logpipe_signals.backend import dummy
from logpipe_signals.testing.conformance import Log
from logpipe_signals.testing.conformance.producing import *

class Forgetful(dummy.Producer):
    def submit(self, messages, *, timeout_seconds):
        return super().submit([m for m in messages if m.headers == ()], timeout_seconds=timeout_seconds)

@pytest.fixture
def log():
    mine = Log(
        name="forgetful", producer_class=Forgetful, consumer_class=dummy.Consumer,
        create_topic=dummy.create_topic, lacks={"a size limit", "processes"},
    )
    with mine.running():
        yield mine
"""
    environment = {"DJANGO_SETTINGS_MODULE": "testproject.settings", "TESTPROJECT_DATA_DIR": str(tmp_path)}
    said = run(tmp_path, code, "-k", "headers_arrive or one_message_that_is_too_large", **environment)
    assert "FAILED test_it.py::test_headers_arrive_as_they_were_sent" in said
    assert "1 failed" in said
    assert "skipped" in said


@pytest.mark.kafka
def test_a_real_kafka_is_a_fixture(logpipe_kafka: str) -> None:
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=logpipe_kafka)
    assert isinstance(client.list_topics(), list)
    client.close()
