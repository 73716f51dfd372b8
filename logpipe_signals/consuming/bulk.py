"""
Bulk apply: a run of one serializer's records in a handful of statements, however many there are.

The last record of a row wins; the others are taken as applied with it. Skipped are the serializer's `create()`,
`update()` and `save()`, the model's `save()` and the signals of both; `validate()` and the fields' validators run.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db import connections, models, router
from django.db.models import Q

from logpipe_signals import echo
from logpipe_signals.consuming.batch import BatchFailed
from logpipe_signals.consuming.bulk_plan import BulkPlan, RowKey
from logpipe_signals.consuming.bulk_validation import Validation
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.consuming.saving import names_its_own_row
from logpipe_signals.exceptions import ValidationError


def apply_in_bulk(
    run: Sequence[Incoming], moved_on: Mapping[int, str], invalid: dict[int, Refused]
) -> list[tuple[Incoming, Any]]:
    """Apply records of one serializer set-wise, and say which ones it refused."""
    plan: BulkPlan = run[0].route.bulk_plan
    about_rows = [each for each in run if not names_its_own_row(each, moved_on.get(id(each)))] if moved_on else run
    last = {_row_key(plan, each): each for each in about_rows}
    upserts = {key: each for key, each in last.items() if not each.is_delete}
    if len(last) < len(about_rows):
        _refuse_to_merge(plan, about_rows, upserts)
    # Also of rows that are made again: what hangs on them, and what the message does not say, goes.
    deletes = list({_row_key(plan, each): each for each in about_rows if each.is_delete}.values())
    topic = None if run[0].route.options.republish else run[0].record.topic
    with echo.applying(topic or "", plan.model if topic is not None else None):
        _delete(plan, deletes)
        _upsert(plan, upserts, invalid)
    return [(each, None) for each in run]


def _refuse_to_merge(plan: BulkPlan, about_rows: Sequence[Incoming], upserts: Mapping[RowKey, Incoming]) -> None:
    """A last record that leaves out what an earlier one of its row said does not stand for both."""
    counts = Counter(_row_key(plan, each) for each in about_rows)
    if any(counts[key] > 1 and plan.is_partial(each.message) for key, each in upserts.items()):
        raise BatchFailed


def _row_key(plan: BulkPlan, incoming: Incoming) -> RowKey:
    """Return what tells rows apart within a batch; without lookup fields the identity does."""
    if plan.names:
        return plan.key_of(incoming.message)
    return (incoming.identity or str(incoming.record.offset),)


# --- deletes ----------------------------------------------------------------------------------------------------------


def _delete(plan: BulkPlan, deletes: Sequence[Incoming]) -> None:
    if not deletes:
        return
    if plan.lookup_many is not None:
        found = plan.lookup_many([each.message for each in deletes])
        rows = Q(pk__in=[row.pk for row in found if row is not None])
    else:
        rows = _matching(plan, [each.message for each in deletes])
    plan.model._base_manager.using(_alias(plan)).filter(rows).delete()


def _matching(plan: BulkPlan, messages: Sequence[Mapping[str, Any]]) -> Q:
    if len(plan.columns) == 1:
        (name,), (column,) = plan.names, plan.columns
        return Q(**{f"{column}__in": [message[name] for message in messages]})
    pairs = list(zip(plan.names, plan.columns, strict=True))
    return reduce(or_, (Q(**{column: message[name] for name, column in pairs}) for message in messages))


# --- upserts ----------------------------------------------------------------------------------------------------------


def _upsert(plan: BulkPlan, upserts: Mapping[RowKey, Incoming], invalid: dict[int, Refused]) -> None:
    if not upserts:
        return
    existing = _existing(plan, upserts)
    validation = Validation(plan, [each.message for each in upserts.values()])
    rows: dict[RowKey, tuple[dict[str, Any], Any]] = {}
    for key, each in upserts.items():
        try:
            rows[key] = (validation.run(each, existing.get(key)), existing.get(key))
        except ValidationError as error:
            if each.policy == "raise":
                raise
            invalid[id(each)] = Refused.of(each, error)
    if not invalid:
        _write(plan, list(rows.values()))


def _existing(plan: BulkPlan, upserts: Mapping[RowKey, Incoming]) -> dict[RowKey, Any]:
    """Read the rows that are there already, where an upsert cannot do without."""
    messages = [each.message for each in upserts.values()]
    if plan.lookup_many is not None:
        return dict(zip(upserts, plan.lookup_many(messages), strict=True))
    if _is_one_upsert(plan) and not plan.reads_rows and not any(map(plan.is_partial, messages)):
        return {}
    found = plan.model._base_manager.using(_alias(plan)).filter(_matching(plan, messages))
    return {plan.key_of_row(row): row for row in found}


def _is_one_upsert(plan: BulkPlan) -> bool:
    """Tell whether one statement does it, and a conflict of any other unique key is an error all the same."""
    if plan.lookup_many is not None or not plan.is_unique:
        return False
    named = bool(plan.updates) and connections[_alias(plan)].features.supports_update_conflicts_with_target
    return named or not plan.has_other_keys


def _write(plan: BulkPlan, rows: Sequence[tuple[dict[str, Any], Any]]) -> None:
    if _is_one_upsert(plan):
        _write_together(plan, [_instance(plan, values, row) for values, row in rows])
        return
    manager = plan.model._base_manager.using(_alias(plan))
    known = [_filled(row, values) for values, row in rows if row is not None]
    if known and plan.updates:
        manager.bulk_update(known, plan.updates)
    new = [plan.model(**values) for values, row in rows if row is None]
    if new:
        manager.bulk_create(new)


def _write_together(plan: BulkPlan, instances: list[models.Model]) -> None:
    alias = _alias(plan)
    manager = plan.model._base_manager.using(alias)
    if not plan.updates:
        manager.bulk_create(instances, ignore_conflicts=True)
        return
    targets = plan.columns if connections[alias].features.supports_update_conflicts_with_target else None
    manager.bulk_create(instances, update_conflicts=True, unique_fields=targets, update_fields=plan.updates)


def _instance(plan: BulkPlan, values: Mapping[str, Any], row: Any) -> models.Model:
    """Return what to insert. An existing row lends the columns that the message lacks, but not its primary key."""
    if row is None:
        return plan.model(**values)
    instance = copy.copy(row)
    if plan.model._meta.pk is not None and plan.model._meta.pk.name not in plan.columns:
        instance.pk = None
    return _filled(instance, values)


def _filled(instance: Any, values: Mapping[str, Any]) -> Any:
    for name, value in values.items():
        setattr(instance, name, value)
    return instance


def _alias(plan: BulkPlan) -> str:
    return router.db_for_write(plan.model)
