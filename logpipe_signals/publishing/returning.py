"""
What a DELETE really deleted, told by the database: `DELETE ... RETURNING *`.

A row that was not there when the delete looked and locked may be made by another session before the DELETE runs, which
then takes it unseen: its key and lookup fields are known to nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, models

from logpipe_signals.registry import Publication

Told = Callable[[Publication, models.Model], object]


@contextmanager
def returned_rows(using: str, concerned: Sequence[Publication], told: Told) -> Iterator[None]:
    """
    Tell of each row of these publications that a DELETE of this block takes from their own tables.

    Elsewhere than on PostgreSQL the look before is all there is: SQLite has one writer.
    """
    if connections[using].vendor != "postgresql":
        yield
        return

    def execute(run: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        own = [p for p in concerned if sql.startswith(f"DELETE FROM {_table(p, using)} ")]  # noqa: S608  (a comparison)
        if not own:
            return run(sql, parameters, many, context)
        outcome = run(f"{sql} RETURNING *", parameters, many, context)
        cursor = context["cursor"]
        columns = [column[0] for column in cursor.description]
        for values in cursor.fetchall():
            for publication in own:
                told(publication, _instance(publication, using, dict(zip(columns, values, strict=True))))
        return outcome

    with connections[using].execute_wrapper(execute):
        yield


def _table(publication: Publication, using: str) -> str:
    return connections[using].ops.quote_name(publication.concrete_model._meta.db_table)


def _instance(publication: Publication, using: str, values: dict[str, Any]) -> models.Model:
    """Return the row as a read would; what a multi-table child has of its parents, whose rows go after it, is read."""
    model = publication.concrete_model
    own: list[Any] = [field for field in model._meta.local_fields if field.concrete]
    found = {field.attname: _converted(field, values[str(field.column)], using) for field in own}
    for parent, link in model._meta.parents.items():
        if link is not None:
            row = parent._base_manager.using(using).get(pk=found[link.attname])
            found |= {field.attname: getattr(row, field.attname) for field in parent._meta.concrete_fields}
    names = [field.attname for field in model._meta.concrete_fields]
    return model.from_db(using, names, [found[name] for name in names])


def _converted(field: Any, value: Any, using: str) -> Any:
    connection: Any = connections[using]
    column = field.get_col(field.model._meta.db_table)
    for convert in (*connection.ops.get_db_converters(column), *field.get_db_converters(connection)):
        value = convert(value, column, connection)
    return value
