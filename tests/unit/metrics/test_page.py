"""The page lists the metrics and signals that there are."""

from __future__ import annotations

import pytest

from tests.unit.metrics import page


@pytest.mark.parametrize("name", ["metrics", "signals"])
def test_the_page_lists_what_there_is(name: str) -> None:
    assert page.listed(name) == page.there_are(name), (
        f"docs/sight.rst lists other {name} than the code has. python -m tests.unit.metrics.page writes them into it."
    )
