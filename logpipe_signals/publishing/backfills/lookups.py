"""
Which rows: ORM lookups as text (`country=DE`, `population__gte=100000`), read, checked and kept as JSON.

A wrong one is refused before anything starts, with the name of what is wrong and the nearest right ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, FieldError, FullResultSet, ValidationError
from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from logpipe_signals.exceptions import BackfillError

Model = type[models.Model]
LISTS = ("in", "range")
BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def parse_lookups(model: Model, texts: Iterable[str]) -> dict[str, Any]:
    """
    Return lookups and values of texts such as `name__startswith=A`, `code__in=DE,FR`, `capital__isnull=true`.

    Raises:
        BackfillError: A text is no lookup, or names a field that is not there.
    """
    found: dict[str, Any] = {}
    for text in texts:
        lookup, equals, value = text.partition("=")
        if not equals or not lookup:
            raise BackfillError(f"{text!r} is no lookup. Write FIELD=VALUE or FIELD__LOOKUP=VALUE: country=DE.")
        if lookup in found:
            raise BackfillError(f"{lookup!r} is given twice, and all lookups have to hold. Use {lookup}__in=A,B.")
        found[lookup] = _value(field_of(model, lookup), lookup.rpartition("__")[2], value, text)
    return found


def check_lookups(rows: models.QuerySet[Any], where: Mapping[str, Any]) -> None:
    """
    Make sure that the database can be asked.

    Raises:
        BackfillError: With the lookup that is wrong.
    """
    for lookup, value in where.items():
        field_of(rows.model, lookup)
        try:
            rows.filter(**{lookup: value}).query.get_compiler(rows.db).as_sql()
        except (EmptyResultSet, FullResultSet):
            continue
        except (FieldError, ValidationError, ValueError, TypeError) as error:
            raise BackfillError(f"{rows.model._meta.label} cannot be asked for {lookup}={value!r}: {error}") from error


def chosen(rows: models.QuerySet[Any], where: Mapping[str, Any]) -> models.QuerySet[Any]:
    """Keep the rows that meet all lookups, each once, whatever relations the lookups go through."""
    if not where:
        return rows
    found = rows.filter(**where)
    if len(found.query.alias_map) == 1:
        return found
    base = rows.model._base_manager.using(rows.db)
    return rows.filter(pk__in=base.filter(**where).order_by().values("pk"))


def since(model: Model, text: str) -> tuple[str, str]:
    """
    Return the lookup and value of `FIELD=TIMESTAMP`, or of a timestamp alone where one field has auto_now.

    Raises:
        BackfillError: There is no such field, or not one alone, or it is no timestamp.
    """
    name, equals, value = text.partition("=")
    if not equals:
        name, value = _updated_field(model), text
    field = field_of(model, name)
    if not isinstance(field, models.DateField):
        times = [f.name for f in model._meta.concrete_fields if isinstance(f, models.DateField)]
        offer = f"Fields that do: {', '.join(times)}." if times else "It has no such field; use --where."
        raise BackfillError(f"{model._meta.label}.{name} holds no time. {offer}")
    return f"{name}__gte", _moment(field, value, text)


def field_of(model: Model, lookup: str) -> Any:
    """
    Return the field that a lookup asks, at the end of its relations.

    Raises:
        BackfillError: A part of it is no field, or no lookup of one.
    """
    at: Any = model
    field: Any = None
    for part in lookup.split("__"):
        found = _get(at, part) if at is not None else None
        if found is None:
            if field is None or not (field.get_lookup(part) or field.get_transform(part)):
                raise BackfillError(_no_such_field(at, part) if at is not None else _no_such_lookup(field, part))
            return field
        field, at = found, found.related_model if found.is_relation else None
    return field


def _get(model: Any, name: str) -> Any:
    try:
        return model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _no_such_lookup(field: Any, name: str) -> str:
    names = sorted(field.get_lookups())
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{field.model._meta.label}.{field.name} has no lookup {name!r}. {meant}There are: {', '.join(names)}."


def _no_such_field(model: Any, name: str) -> str:
    names = sorted({f.name for f in model._meta.get_fields()} | {f.attname for f in model._meta.concrete_fields})
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{model._meta.label} has no field {name!r}. {meant}There are: {', '.join(names)}."


def _value(field: models.Field[Any, Any] | None, lookup: str, value: str, text: str) -> Any:
    if lookup == "isnull" or isinstance(field, models.BooleanField):
        if value.lower() not in BOOLEANS:
            raise BackfillError(f"{text!r}: {value!r} is neither true nor false.")
        return BOOLEANS[value.lower()]
    if lookup in LISTS:
        return [_value(field, "", part, text) for part in value.split(",")]
    plain = lookup in ("", getattr(field, "name", ""), "exact", "gt", "gte", "lt", "lte")
    return _moment(field, value, text) if plain and isinstance(field, models.DateField) else value


def _moment(field: Any, value: str, text: str) -> str:
    """Return a date or a time as JSON has it; a time without a zone is in the project's."""
    found: date | datetime | None
    try:
        if isinstance(field, models.DateTimeField):
            found = parse_datetime(f"{value}T00:00" if len(value) <= len("2026-01-31") else value)
        else:
            found = parse_date(value)
    except ValueError:
        found = None
    if found is None:
        raise BackfillError(f"{text!r}: {value!r} is no time. Write 2026-01-31 or 2026-01-31T12:00:00+00:00.")
    if isinstance(found, datetime) and django_settings.USE_TZ and timezone.is_naive(found):
        found = timezone.make_aware(found)
    return found.isoformat()


def _updated_field(model: Model) -> str:
    names = [f.name for f in model._meta.concrete_fields if getattr(f, "auto_now", False)]
    if len(names) == 1:
        return names[0]
    why = f"several ({', '.join(names)})" if names else "no field with auto_now"
    raise BackfillError(f"{model._meta.label} has {why}. Say which: --since FIELD=TIMESTAMP.")
