"""A project of its own for each test: empty databases, and the log the test asks for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.acceptance import mariadb
from tests.acceptance.project import Project


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with migrated databases: files, or on the tests' MariaDB where they run there."""
    project = Project(folder=tmp_path_factory.mktemp("migrated"))
    if os.environ.get("LOGPIPE_TEST_DATABASE") == "mariadb":
        project.changes["DATABASE_URL"] = mariadb.create_databases(os.environ["DATABASE_URL"])
    for alias in ("default", "subscriber"):
        project.manage("migrate", "--database", alias, "--verbosity", "0")
    return project


@pytest.fixture
def project(migrated: Project, tmp_path: Path) -> Project:
    """Return a project on the embedded log, with empty databases."""
    if url := migrated.changes.get("DATABASE_URL"):
        mariadb.empty_databases(url)
    folder = Path(shutil.copytree(migrated.folder, tmp_path / "data"))
    return Project(folder=folder, changes=dict(migrated.changes))


@pytest.fixture
def kafka_project(project: Project, kafka_broker: str) -> Project:
    """Return a project on a real Kafka."""
    project.changes |= {"LOGPIPE_BACKEND": "kafka", "KAFKA_BOOTSTRAP_SERVERS": kafka_broker}
    return project


@pytest.fixture(params=["database", pytest.param("kafka", marks=pytest.mark.kafka)])
def any_project(request: pytest.FixtureRequest) -> Project:
    """Return a project on the embedded log, then one on a real Kafka."""
    chosen: Project = request.getfixturevalue("project" if request.param == "database" else "kafka_project")
    return chosen
