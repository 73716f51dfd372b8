"""The fields of the consuming scenarios, with both sides at work."""

from __future__ import annotations

import pytest

from tests.scenarios.auditing.both import Both
from tests.scenarios.consuming.conftest import field, hurt_postgres, make_field
from tests.scenarios.consuming.field import Field

__all__ = ["both", "field", "hurt_postgres", "make_field"]


@pytest.fixture
def both(field: Field) -> Both:
    """Return both sides on each log, with people who rest and nobody at work yet."""
    sides = Both(field)
    sides.seed()
    return sides
