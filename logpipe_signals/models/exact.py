"""
Text that is compared character by character, and may hold any character.

MariaDB and MySQL take 'a' and 'A', 'e' and 'é', 'a' and 'a ' for equal unless a column says otherwise. Topics, groups,
names and identities that differ in these would share a position, a lease, a partition or a dead letter. The collation
brings its character set: keys and errors in any script fit, also where the database was made in latin1.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class _Exact:
    """Gives a field a binary collation without padding, where the database's own is another."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)  # type: ignore[misc]
        if connection.vendor == "mysql":
            is_mariadb = getattr(connection, "mysql_is_mariadb", True)
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters


class ExactCharField(_Exact, models.CharField):
    """Short text, compared character by character."""


class ExactTextField(_Exact, models.TextField):
    """Long text, compared character by character."""
