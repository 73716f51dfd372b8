"""
Listed rows: keys that a person has, checked one by one before anything is sent.

    listed_rows(target, lines)       message keys (KEY_FIELD's text, else the primary key's), one a line
    deleted_rows(target, lines)      rows deleted long ago: primary keys, with what their delete message needs

A list of deleted rows is plain primary keys, where these are all that a delete message holds; else CSV with a header,
or a JSON object a line, with `pk`, the KEY_FIELD and the lookup fields by the names they have in messages.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from rest_framework import serializers

from logpipe_signals.exceptions import BackfillError
from logpipe_signals.keys import pk_fields, pk_text, target_field
from logpipe_signals.publishing.backfills.chunks import pk_as_text
from logpipe_signals.publishing.backfills.control import Listed
from logpipe_signals.publishing.backfills.targets import Target
from logpipe_signals.publishing.reading import fields_of, version_label

KEYS_A_QUERY = 500
MOST_NAMED = 10
T = TypeVar("T")


@dataclass
class ListedRows:
    """Rows found by message key; iterate to find them. Then `missing` counts the keys without a row."""

    found: Target
    lines: Iterable[str]
    missing: int = 0
    first_missing: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Listed]:
        column = self.found.publication.key_column
        if column is None:
            raise BackfillError(
                f"Only the serializer of {self.found.publication.name} can tell a row's key, so no row can be found "
                "by it. Use --where, with pk__in=1,2,3 for a few."
            )
        for some in _in_parts(_numbered(self.lines)):
            values = {line: _value_of(self.found, column, line, number) for number, line in some}
            rows = self.found.rows().filter(**{f"{column.name}__in": list(values.values())})
            there = list(rows.values_list("pk", column.name))
            yield from (Listed(pk_as_text(self.found, pk)) for pk, _ in there)
            self._remember_missing(values, {value for _, value in there})

    def _remember_missing(self, values: Mapping[str, Any], there: set[Any]) -> None:
        missing = [line for line, value in values.items() if value not in there]
        self.missing += len(missing)
        self.first_missing += missing[: MOST_NAMED - len(self.first_missing)]


def deleted_rows(found: Target, lines: Iterable[str]) -> Iterator[Listed]:
    """
    Return what the delete messages of rows deleted long ago need.

    Raises:
        BackfillError: A line is wrong, or a row is still there: none of the list is sent then.
    """
    _require_deletes(found)
    there: list[str] = []
    for some in _in_parts(_records(found, lines)):
        pks = {_pk_of(found, record, number): (number, record) for number, record in some}
        there += [pk_text(found.publication.model, pk) for pk in _still_there(found, pks)]
        for pk, (number, record) in pks.items():
            yield Listed(pk_as_text(found, pk), _values(found, pk, record, number))
    if there:
        shown = ", ".join(there[:MOST_NAMED]) + (", ..." if len(there) > MOST_NAMED else "")
        raise BackfillError(
            f"{len(there)} of the rows to be reported as deleted are there: {shown}. Nothing was sent. "
            "Take them out of the list; to send what they are, use --keys."
        )


def _require_deletes(found: Target) -> None:
    options = found.publication.options
    if options.delete == "ignore":
        raise BackfillError(f"{found.publication.name} sends no deletes: it was declared with delete='ignore'.")
    if options.payload == "change":
        raise BackfillError(
            f"{found.publication.name} sends each change as it was (payload='change'), so a delete could overtake a "
            "row that is made again at this moment."
        )


# --- reading ----------------------------------------------------------------------------------------------------------


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if text := line.strip("\r\n"):
            yield number, text


def _records(found: Target, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    numbered = _numbered(lines)
    first = next(numbered, None)
    if first is None:
        return
    names = [name.strip() for name in first[1].split(",")]
    if len(names) > 1 and set(names) <= {"pk", *_pk_names(found), *_needed(found)}:
        reader = csv.reader(line for _, line in numbered)
        yield from ((reader.line_num + 1, dict(zip(names, values, strict=False))) for values in reader)
        return
    for number, line in chain([first], numbered):
        yield number, _record(line, number)


def _record(line: str, number: int) -> dict[str, Any]:
    if not line.startswith("{"):
        return {"pk": line}
    try:
        record = json.loads(line)
    except ValueError as error:
        raise BackfillError(f"Line {number} is no JSON object: {error}") from error
    return dict(record)


def _in_parts(items: Iterable[T]) -> Iterator[list[T]]:
    items = iter(items)
    while part := list(islice(items, KEYS_A_QUERY)):
        yield part


def _value_of(found: Target, column: Any, text: Any, number: int) -> Any:
    try:
        if len(pk_fields(found.publication.model)) > 1 and column.primary_key:
            return _composite(found, text)
        value = target_field(column).to_python(text)
        target_field(column).get_prep_value(value)
    except (ValidationError, ValueError, TypeError) as error:
        raise BackfillError(
            f"Line {number}: {text!r} is no value of {column.model._meta.label}.{column.name}."
        ) from error
    return value


def _composite(found: Target, text: Any) -> tuple[Any, ...]:
    fields = pk_fields(found.publication.model)
    parts = json.loads(text) if isinstance(text, str) else text
    return tuple(target_field(part).to_python(value) for part, value in zip(fields, parts, strict=True))


# --- deletes ----------------------------------------------------------------------------------------------------------


def _pk_names(found: Target) -> list[str]:
    fields = pk_fields(found.publication.model)
    return [name for f in fields for name in (f.name, f.attname)] if len(fields) == 1 else []


def _needed(found: Target) -> list[str]:
    """Return the members of a delete message that its primary key does not tell."""
    publication = found.publication
    # A function of the row cannot be asked of one that is gone.
    key = "key" if publication.key_provider is not None else publication.key_field
    names = dict.fromkeys([*([key] if key else []), *publication.lookup_fields])
    fields = fields_of(publication.serializer_classes[0])
    return [name for name in names if name not in fields or fields[name].source not in ("pk", *_pk_names(found))]


def _pk_of(found: Target, record: Mapping[str, Any], number: int) -> Any:
    name = next((name for name in ("pk", *_pk_names(found)) if record.get(name) not in (None, "")), None)
    missing = [*([] if name else ["pk"]), *(name for name in _needed(found) if record.get(name) is None)]
    if missing or name is None:
        columns = ",".join(["pk", *_needed(found)])
        raise BackfillError(
            f"Line {number} lacks {', '.join(missing)}, which the delete message of {found.publication.name} needs. "
            f"Give CSV with the header {columns}, or a JSON object a line with these members."
        )
    return _value_of(found, found.publication.model._meta.pk, record[name], number)


def _still_there(found: Target, pks: Mapping[Any, tuple[int, Mapping[str, Any]]]) -> list[Any]:
    """Return the rows that are there by their primary key, or whose key only one row at a time can have."""
    there = list(found.rows().filter(pk__in=list(pks)).values_list("pk", flat=True))
    column, name = found.publication.key_column, found.publication.key_field
    if name is not None and column is not None and column.unique and not column.primary_key:
        values = [_value_of(found, column, record[name], number) for number, record in pks.values() if name in record]
        there += found.rows().filter(**{f"{column.name}__in": values}).values_list("pk", flat=True)
    return list(dict.fromkeys(there))


def _values(found: Target, pk: Any, record: Mapping[str, Any], number: int) -> dict[str, Any]:
    publication = found.publication
    payload = {
        version_label(cls): {name: _shown(found, cls, name, pk, record, number) for name in publication.lookup_fields}
        for cls in publication.serializer_classes
    }
    key = pk_text(publication.model, pk)
    if publication.key_provider is not None:
        key = str(record["key"])
    elif publication.key_field is not None:
        first = publication.serializer_classes[0]
        key = str(_shown(found, first, publication.key_field, pk, record, number))
    return {"key": key, "payload": payload}


def _shown(found: Target, serializer_class: Any, name: str, pk: Any, record: Mapping[str, Any], number: int) -> Any:
    """Return a member as the serializer shows it: a number where the list has its text."""
    shown = fields_of(serializer_class).get(name)
    value = record.get(name, pk)
    if shown is None or isinstance(shown, serializers.RelatedField | serializers.BaseSerializer):
        return value
    try:
        return shown.to_representation(shown.to_internal_value(value))
    except (serializers.ValidationError, ValueError, TypeError, NotImplementedError) as error:
        raise BackfillError(f"Line {number}: {value!r} is no {name} of {found.publication.name}.") from error
