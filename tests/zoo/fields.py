"""A field whose Python value is not its database value."""

from __future__ import annotations

from typing import Any

from django.db import models


class TicketField(models.IntegerField):
    """`T-7` in Python, 7 in the database."""

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else f"T-{value}"

    def to_python(self, value: Any) -> Any:
        return value if value is None or str(value).startswith("T-") else f"T-{value}"

    def get_prep_value(self, value: Any) -> int | None:
        return None if value is None else int(str(value).removeprefix("T-"))
