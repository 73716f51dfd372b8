"""
Repair: what an audit found goes back into the outbox, and no other row.

A row that the subscriber lacks, or has otherwise, is published again. One that only the subscriber has gets a delete,
unless some row has its keys by now. Both leave through the relay, in line with live changes.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db import connections, models, transaction
from rest_framework.renderers import JSONRenderer

from logpipe_signals.keys import database_text, decode_pk, pk_fields, target_field
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.backfills.targets import Target
from logpipe_signals.publishing.reading import fields_of, version_label

ROWS_A_WRITE = 500


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    A row that differs, as a subscriber reports it.

    pk:     The text of the publisher's primary key, "" of an extra row.
    key:    The message key of an extra row.
    lookup: By which the subscriber finds the row.
    """

    kind: str
    pk: str = ""
    key: str = ""
    lookup: Mapping[str, Any]


@dataclass(kw_only=True)
class Repaired:
    """What went into the outbox. `gone`: rows to be published again that are no more."""

    republished: int = 0
    deleted: int = 0
    gone: int = 0


def repair(target: Target, findings: Sequence[Finding]) -> Repaired:
    """Put what was found into the outbox; the relay sends it."""
    done = Repaired()
    wrong = [finding.pk for finding in findings if finding.kind != "extra"]
    for pks in _chunks(wrong):
        done.republished += republish(target, [decode_pk(target.publication.model, pk, target.using) for pk in pks])
    done.gone = len(wrong) - done.republished
    extra = [finding for finding in findings if finding.kind == "extra"]
    # Each repair invents other primary keys: the delete of one may not make another's stale.
    first = secrets.randbelow(2**30)
    for number, some in enumerate(_chunks(extra)):
        done.deleted += delete(target, some, beginning=first + number * ROWS_A_WRITE)
    return done


def republish(target: Target, pks: Collection[Any]) -> int:
    """Put the rows of these primary keys that are there into the outbox, and return how many."""
    with transaction.atomic(using=target.using):
        rows = target.rows().filter(pk__in=list(pks))
        locked = rows.select_for_update(of=("self",)) if _locks(target) else rows
        intents = [outbox.upsert(target.publication, instance, target.using) for instance in locked]
        outbox.write(target.using, intents)
    return len(intents)


def delete(target: Target, extra: Sequence[Finding], *, beginning: int = 0) -> int:
    """
    Put deletes of rows that the publisher does not have into the outbox, and return how many.

    A row that is made with the same keys meanwhile is published behind its delete.
    """
    there = _rows_with(target, extra)
    known = {_lookup_text(_lookup_of(target, row)) for row in there}
    absent = [finding for finding in extra if _lookup_text(finding.lookup) not in known]
    intents = [_deletion(target, each, beginning + place) for place, each in enumerate(absent)]
    with transaction.atomic(using=target.using):
        outbox.write(target.using, intents)
    republish(target, [row.pk for row in _rows_with(target, extra)])
    return len(intents)


# --- deletes ----------------------------------------------------------------------------------------------------------


def _deletion(target: Target, finding: Finding, number: int) -> outbox.Intent:
    publication = target.publication
    members = {version_label(cls): dict(finding.lookup) for cls in publication.serializer_classes}
    return outbox.Intent(
        publication=publication,
        object_id=_object_id(target, finding, number),
        key=finding.key,
        operation=Operation.DELETE,
        payload=JSONRenderer().render(members),
    )


def _object_id(target: Target, finding: Finding, number: int) -> str:
    """Return the text of the row's primary key where the lookup tells it, else of one that no row has."""
    model, columns = target.publication.model, _columns(target)
    texts = []
    for field in pk_fields(model):
        name = next((name for name, column in columns.items() if column in (field.name, field.attname, "pk")), None)
        value = target_field(field).to_python(finding.lookup[name]) if name is not None else _nobodys(field, number)
        texts.append(database_text(field, value, target.using))
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def _nobodys(field: models.Field[Any, Any], number: int) -> Any:
    target = target_field(field)
    if isinstance(target, models.UUIDField):
        return uuid.UUID(int=number)
    return target.to_python(-1 - number if isinstance(target, models.IntegerField) else f"audit-{number}")


def _columns(target: Target) -> dict[str, str]:
    """Return the model's column of each lookup field that is one."""
    publication = target.publication
    fields = fields_of(publication.serializer_classes[0])
    return {name: fields[name].source for name in publication.lookup_fields if name in fields}


def _rows_with(target: Target, extra: Sequence[Finding]) -> list[Any]:
    """Return the rows that have the keys of these findings after all."""
    columns = _columns(target)
    known = {f.name for f in target.publication.model._meta.get_fields()} | {"pk"}
    usable = {name: column for name, column in columns.items() if column in known}
    if not usable or not extra:
        return []
    conditions = (models.Q(**{usable[name]: each.lookup.get(name) for name in usable}) for each in extra)
    return list(target.rows().filter(reduce(or_, conditions)))


def _lookup_of(target: Target, instance: models.Model) -> dict[str, Any]:
    data = target.publication.serializer_classes[0](instance).data
    return {name: data.get(name) for name in target.publication.lookup_fields}


def _lookup_text(lookup: Mapping[str, Any]) -> str:
    return JSONRenderer().render(dict(sorted(lookup.items()))).decode()


def _locks(target: Target) -> bool:
    return target.keeps_changes and bool(connections[target.using].features.has_select_for_update_of)


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + ROWS_A_WRITE] for start in range(0, len(values), ROWS_A_WRITE))
