"""The demo ends well for somebody who has nothing but Python: an empty home, no terminal, no settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.project import REPOSITORY

pytestmark = pytest.mark.slow


def demo(home: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    own = ("LOGPIPE", "DJANGO", "DATABASE_URL", "TESTPROJECT", "KAFKA")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=REPOSITORY,
        env={**environment, "HOME": str(home), "TESTPROJECT_DATA_DIR": str(home / "unused"), **changes},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_the_demo_ends_with_both_sides_equal(tmp_path: Path) -> None:
    done = demo(tmp_path, "--cities", "600")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Both sides are equal.")
    assert "cities          600 published      600 copied   equal" in done.stdout
    assert done.stderr == ""


def test_without_a_terminal_there_are_lines_alone(tmp_path: Path) -> None:
    told = demo(tmp_path, "--cities", "100").stdout

    assert "\r" not in told
    assert "\x1b" not in told
    assert len(told.splitlines()) < 50


def test_the_databases_are_kept_where_they_were_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "look"
    done = demo(tmp_path, "--cities", "10", "--data-dir", str(folder))

    assert done.returncode == 0
    assert (folder / "logpipe_subscriber.sqlite3").exists()
    assert str(folder) in done.stdout

    again = demo(tmp_path, "--cities", "10", "--data-dir", str(folder))
    assert again.returncode == 1
    assert "name another folder" in again.stderr


def test_the_demo_fails_when_the_sides_differ(tmp_path: Path) -> None:
    """A subscriber that is wrong about one thing: what the comparison is for."""
    done = demo(tmp_path, "--cities", "10", PYTHONPATH=str(spoiled(tmp_path)))

    assert done.returncode == 1
    assert "The sides differ." in done.stdout
    assert (
        "AD differs: published ('Andorra', 'Andorra la Vella'), copied ('ANDORRA', 'Andorra la Vella')" in done.stdout
    )


def spoiled(folder: Path) -> Path:
    """Return a folder whose sitecustomize makes the subscriber write countries in capitals."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from django.db.models.signals import pre_save\n"
        "def shout(sender, instance, **kwargs):\n"
        "    if sender.__name__ == 'CountryCopy':\n"
        "        instance.name = instance.name.upper()\n"
        "pre_save.connect(shout, weak=False)\n"
    )
    return site


@pytest.mark.kafka
def test_the_demo_moves_real_cities_through_a_real_kafka(tmp_path: Path, kafka_broker: str) -> None:
    """Twice through one broker: what an earlier run left on the topics is no business of the next."""
    for _ in range(2):
        done = demo(tmp_path, "--backend", "kafka", "--cities", "500", KAFKA_BOOTSTRAP_SERVERS=kafka_broker)

        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Apache Kafka at {kafka_broker}" in done.stdout
        assert "cities          500 published      500 copied   equal" in done.stdout
