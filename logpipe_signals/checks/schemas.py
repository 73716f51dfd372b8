"""The contract: serializers that read what publishers send, where their lock files are pinned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.schemas import contract, lock, shapes
from logpipe_signals.schemas.judging import judge_against


def check_schemas(**_: Any) -> list[CheckMessage]:
    """Return where the project's serializers do not read what the pinned publishers send, and what validation lacks."""
    return [*_validation(), *_publishers()]


def _validation() -> list[CheckMessage]:
    if not settings.SCHEMA_VALIDATION:
        return []
    try:
        shapes.load_spectacular()
    except DeclarationError as error:
        return [Error(f"LOGPIPE['SCHEMA_VALIDATION'] is set. {error}", id="logpipe_signals.E042")]
    return []


def _publishers() -> list[CheckMessage]:
    if not lock.publisher_paths():
        return []
    try:
        code = contract.contract_of_code()
        return [message for path in lock.publisher_paths() for message in _against(path, code)]
    except DeclarationError as error:
        return [Error(str(error), id="logpipe_signals.E041")]


def _against(path: Path, code: contract.Contract) -> Iterator[CheckMessage]:
    for finding in judge_against(lock.read(path), code):
        text = " ".join([finding.text, *finding.details])
        if finding.fails:
            yield Error(text, hint=finding.hint or None, id="logpipe_signals.E040")
        else:
            yield checks.Info(text, hint=finding.hint or None, id="logpipe_signals.I040")
