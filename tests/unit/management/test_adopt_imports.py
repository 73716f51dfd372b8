"""`manage.py adopt_logpipe --check` and `--rewrite`: django-logpipe's imports in a project's code."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from logpipe_signals.management import imports

CODE = """\
import logpipe
from logpipe import Consumer, Producer, register_consumer
from logpipe.exceptions import (
    UnknownMessageTypeError,
)
import logpipe.backend.kafka as kafka


def later():
    from logpipe.format import render  # when it is needed

    return render, "from logpipe import Producer"
"""
CHANGED = """\
import logpipe_signals as logpipe
from logpipe_signals import Consumer, Producer, register_consumer
from logpipe_signals.exceptions import (
    UnknownMessageTypeError,
)
import logpipe_signals.backend.kafka as kafka


def later():
    from logpipe_signals.formats import render  # when it is needed

    return render, "from logpipe import Producer"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "people").mkdir()
    (tmp_path / "people/consumers.py").write_text(CODE)
    (tmp_path / "people/views.py").write_text("import logpipeline\n")
    return tmp_path


def adopt(*arguments: str) -> tuple[str, bool]:
    """Return what the command printed, and whether it was content."""
    out = StringIO()
    try:
        call_command("adopt_logpipe", *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue() + str(error), False
    return out.getvalue(), True


def test_imports_are_listed_with_what_they_become(project: Path) -> None:
    out, content = adopt("--check", "--path", str(project))

    assert not content
    assert "people/consumers.py:1: import logpipe\n    import logpipe_signals as logpipe\n" in out
    assert "5 imports of django-logpipe" in out
    assert "5 are left" in out
    assert (project / "people/consumers.py").read_text() == CODE


def test_imports_are_changed_and_nothing_else(project: Path) -> None:
    assert adopt("--rewrite", "--path", str(project))[1]
    assert (project / "people/consumers.py").read_text() == CHANGED
    assert adopt("--check", "--path", str(project))[1]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from logpipe.models import KafkaOffset\n", "logpipe.models has no counterpart"),
        ("from logpipe.format import FormatRegistry\n", "logpipe_signals.formats has no FormatRegistry"),
        ("import os, logpipe\n", "several modules in one statement"),
        ("import logpipe.exceptions\n", "the code behind it says logpipe.exceptions."),
        ("from logpipe import (\n", "this file is no Python that can be read"),
    ],
)
def test_what_only_a_person_can_change_is_left_with_the_reason(tmp_path: Path, code: str, why: str) -> None:
    (tmp_path / "some.py").write_text(code)
    out, content = adopt("--rewrite", "--path", str(tmp_path))

    assert not content
    assert f"by hand: {why}" in out
    assert (tmp_path / "some.py").read_text() == code


def test_environments_and_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    for folder in (".hidden", "env/lib", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "some.py").write_text(CODE)
    (tmp_path / "env/pyvenv.cfg").touch()

    assert list(imports.find(tmp_path)) == []
