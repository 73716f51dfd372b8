"""Expressions in the dialects of PostgreSQL, SQLite and MariaDB/MySQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Expression, F, Func, Lookup, Q, Value
from django.db.models.functions import Cast, Concat

from logpipe_signals.keys import lane_of, target_field


class DatabaseNow(Func):
    """
    The database's own clock, in UTC, which goes on inside a transaction (`now()` of PostgreSQL stands still there).

    MariaDB's `NOW()` and `SYSDATE()` are in the server's own time zone, where an hour comes twice each autumn.
    """

    template = "%(function)s"
    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW')")

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="CLOCK_TIMESTAMP()")

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="UTC_TIMESTAMP(6)")


class SecondsFromNow(Func):
    """The database's own clock plus some seconds, in the column's resolution."""

    output_field = models.DateTimeField()

    def __init__(self, seconds: float) -> None:
        super().__init__(Value(float(seconds), output_field=models.FloatField()))

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW', (%(expressions)s) || ' seconds')"
        return super().as_sql(compiler, connection, template=template)

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        template = "(CLOCK_TIMESTAMP() + (%(expressions)s)::double precision * INTERVAL '1 second')"
        return super().as_sql(compiler, connection, template=template)

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        template = "(UTC_TIMESTAMP(6) + INTERVAL ROUND(1000000 * (%(expressions)s)) MICROSECOND)"
        return super().as_sql(compiler, connection, template=template)


class LaneOf(Func):
    """`keys.lane_of` in SQL: LaneOf(topic, key expression, lanes)."""

    output_field = models.SmallIntegerField()

    def __init__(self, topic: str, key: Expression | F, lanes: int) -> None:
        text = Concat(Value(f"{topic}:"), Cast(key, models.TextField()), output_field=models.TextField())
        super().__init__(text, Value(lanes, output_field=models.IntegerField()))

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, function="LOGPIPE_LANE")

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        template = "MOD(('x' || LEFT(MD5(%(expressions)s), 8))::bit(32)::bigint, {lanes})"
        return self._with_lanes(compiler, connection, template)

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        template = "MOD(CONV(LEFT(MD5(CONVERT(%(expressions)s USING utf8mb4)), 8), 16, 10), {lanes})"
        return self._with_lanes(compiler, connection, template)

    def _with_lanes(self, compiler: Any, connection: BaseDatabaseWrapper, template: str) -> Any:
        text, lanes = self.get_source_expressions()
        return Func(text, template=template.format(lanes=int(lanes.value))).as_sql(compiler, connection)


def array_text(values: Iterable[object]) -> str:
    """
    Return PostgreSQL's text of an array of numbers or UUIDs, for a parameter with a cast: `%s::bigint[]`.

    One text costs the client next to nothing; a list, or a placeholder each, costs it more than the query the database.
    """
    return f"{{{','.join(map(str, values))}}}"


def text_array(texts: Iterable[str]) -> str:
    """Return PostgreSQL's text of an array of texts without NULs, for a parameter with a cast: `%s::text[]`."""
    joined = "\x00".join(texts).replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + joined.replace("\x00", '","') + '"}'


class _InArray(Lookup):
    """`column = ANY(array)`, the array being one parameter."""

    lookup_name = "in_array"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        kind = target_field(self.lhs.output_field).rel_db_type(connection)
        return f"{column} = ANY(%s::{kind}[])", (*parameters, array_text(self.rhs))


def with_pks(model: type[models.Model], texts: Collection[str], values: Collection[Any], vendor: str) -> Any:
    """
    Return the condition that keeps some rows of a model.

    Args:
        texts: The database texts of their primary keys, as the outbox has them.
        values: The same as the model's values.
        vendor: Of the database that is asked.
    """
    field = target_field(model._meta.pk) if model._meta.pk is not None else None
    if vendor == "postgresql" and isinstance(field, models.IntegerField | models.UUIDField):
        return _InArray(F("pk"), texts)
    return Q(pk__in=values)


def _teach_sqlite(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "sqlite":
        connection.connection.create_function("LOGPIPE_LANE", 2, _sqlite_lane, deterministic=True)


def _sqlite_lane(text: str, lanes: int) -> int:
    topic, _, key = text.partition(":")
    return lane_of(topic, key, lanes)


connection_created.connect(_teach_sqlite, dispatch_uid="logpipe_signals.lane_of")
