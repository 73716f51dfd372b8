"""A sensitive field that does not exist, or that is the key, is said at start-up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logpipe_signals.checks import check_sensitive_fields
from testproject.mirror.serializers import PersonCopySerializer


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def declare(*fields: str) -> list[str | None]:
        monkeypatch.setattr(PersonCopySerializer, "SENSITIVE_FIELDS", fields)
        return [message.id for message in check_sensitive_fields()]

    return declare


def test_fields_that_are_there_are_fine(declared: Any) -> None:
    assert declared("email", "last_name") == []


def test_a_misspelt_field_is_an_error(declared: Any) -> None:
    assert declared("e-mail") == ["logpipe_signals.E045"]


def test_a_sensitive_key_is_a_warning(declared: Any) -> None:
    assert declared("uuid") == ["logpipe_signals.W045"]
