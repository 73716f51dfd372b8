"""A contract of its own for each test: nothing is published or subscribed but what the test declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logpipe_signals.registry import publications, subscriptions


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry, names in ((publications, ["_by_name", "_by_table"]), (subscriptions, ["_declared", "_factories"])):
        for name in names:
            empty: Any = type(getattr(registry, name))()
            monkeypatch.setattr(registry, name, empty)
    publications._changed()
    yield
    monkeypatch.undo()
    publications._changed()
