"""
Which rows a `bulk_create` over conflicts wrote, when the database does not say: those with the objects' own values.

A row that was inserted or updated matches its object in the unique fields, or, without any, in all fields; a row that
was left alone may match too, and is then published once more than needed. MariaDB updates the row that any unique key
finds: an object with a new primary key and a known e-mail writes the row of that e-mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import Q

OBJECTS_A_CONDITION = 100


def matching(
    model: type[models.Model], objs: Sequence[Any], unique_fields: Sequence[str], *, by_any_key: bool = False
) -> Iterator[Q]:
    """
    Yield conditions that together match every row that may have been written for these objects.

    Args:
        by_any_key: Whether a conflict in any unique key has the row updated, as on MariaDB.
    """
    sets = [] if by_any_key else [_columns(model, objs, unique_fields)]
    for start in range(0, len(objs), OBJECTS_A_CONDITION):
        some = objs[start : start + OBJECTS_A_CONDITION]
        yield reduce(or_, (_same(obj, columns) for obj in some for columns in sets or _known_sets(model, obj)))


def _columns(model: type[models.Model], objs: Sequence[Any], unique_fields: Sequence[str]) -> list[Any]:
    for candidate in _unique_sets(model, unique_fields):
        if all(_is_known(obj, column) for obj in objs for column in candidate):
            return candidate
    return [c for c in model._meta.concrete_fields if all(_is_known(o, c, nothing=True) for o in objs)]


def _known_sets(model: type[models.Model], obj: Any) -> list[list[Any]]:
    known = [columns for columns in _unique_sets(model, ()) if all(_is_known(obj, column) for column in columns)]
    return known or [_columns(model, [obj], ())]


def _unique_sets(model: type[models.Model], unique_fields: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the sets of columns that find one row, the conflict's own first, the primary key before others."""
    meta: Any = model._meta
    if unique_fields:
        yield [meta.pk if name == "pk" else meta.get_field(name) for name in unique_fields]
    yield list(getattr(meta, "pk_fields", None) or [meta.pk])
    for column in meta.concrete_fields:
        if column.unique:
            yield [column]
    for names in (*(c.fields for c in meta.total_unique_constraints), *meta.unique_together):
        yield [meta.get_field(name) for name in names]


def _is_known(obj: Any, column: Any, *, nothing: bool = False) -> bool:
    value = getattr(obj, column.attname)
    return not hasattr(value, "resolve_expression") and ((nothing and not column.primary_key) or value is not None)


def _same(obj: Any, columns: Sequence[Any]) -> Q:
    conditions = (Q(**_equals(column, getattr(obj, column.attname))) for column in columns)
    return reduce(lambda both, one: both & one, conditions, Q())


def _equals(column: Any, value: Any) -> dict[str, Any]:
    return {f"{column.attname}__isnull": True} if value is None else {column.attname: value}
