"""The two databases of the project's processes on a MariaDB, beside those of the tests' own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "acceptance"
NAMES = (NAME, f"{NAME}_subscriber")
KEPT = "'django_migrations', 'django_content_type', 'auth_permission'"


def create_databases(url: str) -> str:
    """Make both sides' databases on the server of an address, and return the address of the publisher's."""
    with _cursor(url) as cursor:
        for name in NAMES:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return urlsplit(url)._replace(path=f"/{NAME}").geturl()


def empty_databases(url: str) -> None:
    """Delete all rows of both sides, but what migrations leave."""
    with _cursor(url) as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            f"WHERE table_schema IN %s AND table_name NOT IN ({KEPT})",
            [NAMES],
        )
        for schema, table in cursor.fetchall():
            cursor.execute(f"DELETE FROM `{schema}`.`{table}`")


@contextmanager
def _cursor(url: str) -> Iterator[Any]:
    import pymysql  # type: ignore[import-untyped]

    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        yield cursor
