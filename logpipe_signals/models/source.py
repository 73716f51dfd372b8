"""The source: this database as a publisher. Its name, its number of lanes, and the sequence of its messages."""

from __future__ import annotations

from uuid import uuid4

from django.db import DatabaseError, connections, models

from logpipe_signals.conf import settings


class SourceManager(models.Manager["Source"]):
    """Finds and counts up the one row."""

    def current(self, using: str) -> Source:
        """Return this database's source, making it the first time."""
        source, _ = self.using(using).get_or_create(
            pk=1, defaults={"name": settings.SOURCE or uuid4().hex, "lanes": settings.LANES}
        )
        return source

    def draw_sequence(self, using: str) -> tuple[str, int]:
        """
        Return (source name, next sequence number). Drawn after the claim and before the read.

        Whoever draws later gets a higher number; the row's lock is held for this statement only.
        """
        drawn = self._count_up(using)
        if drawn is None:
            self.current(using)
            drawn = self._count_up(using)
        if drawn is None:
            raise DatabaseError(f"The source row of {using!r} is gone. Run manage.py check --database {using}.")
        return drawn

    def _count_up(self, using: str) -> tuple[str, int] | None:
        connection = connections[using]
        if connection.vendor == "mysql":
            return self._count_up_in_two(using)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {Source._meta.db_table} SET sequence = sequence + 1 WHERE id = 1 RETURNING name, sequence"  # noqa: S608
            )
            row: tuple[str, int] | None = cursor.fetchone()
        return row

    def _count_up_in_two(self, using: str) -> tuple[str, int] | None:
        """MariaDB's UPDATE returns nothing, but the connection remembers the number; so no lock outlives the UPDATE."""
        table = Source._meta.db_table
        with connections[using].cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET sequence = LAST_INSERT_ID(sequence + 1) WHERE id = 1")  # noqa: S608
            if not cursor.rowcount:
                return None
            cursor.execute(f"SELECT name, LAST_INSERT_ID() FROM {table} WHERE id = 1")  # noqa: S608
            row: tuple[str, int] | None = cursor.fetchone()
        return row


class Source(models.Model):
    """One row a database."""

    name = models.CharField(max_length=64)
    lanes = models.SmallIntegerField()
    sequence = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceManager()

    def __str__(self) -> str:
        return self.name
