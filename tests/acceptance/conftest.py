"""A project of its own for each test: empty databases, and the log the test asks for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.project import Project


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with migrated, empty databases."""
    folder = tmp_path_factory.mktemp("migrated")
    for alias in ("default", "subscriber"):
        Project(folder=folder).manage("migrate", "--database", alias, "--verbosity", "0")
    return folder


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> Project:
    """Return a project on the embedded log."""
    return Project(folder=Path(shutil.copytree(migrated, tmp_path / "data")))


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
