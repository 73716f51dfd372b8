"""
Capturing set-wise writes: exactly the rows that were written, in as few statements as the database allows.

Keys copied first and the update afterwards would miss a row that another session lets match in between. So PostgreSQL
captures from what the UPDATE returns, in one statement; SQLite has one writer, and copies keys first; and where a row's
old key or old values matter, or SQL cannot tell a key, the rows are locked, read, and written by primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.db import connections, models

from logpipe_signals.keys import pk_fields, target_field
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, deletes, outbox, setwise, triggers
from logpipe_signals.publishing.conflicts import matching
from logpipe_signals.publishing.plans import Plan, concrete_of, parent_link, plan_for
from logpipe_signals.publishing.suspend import opted_out, publishable
from logpipe_signals.publishing.transactions import atomic_once
from logpipe_signals.registry import Publication

ROWS_A_WRITE = 500
_captured_elsewhere: ContextVar[bool] = ContextVar("logpipe_signals_captured_elsewhere", default=False)


@contextmanager
def captured_elsewhere() -> Iterator[None]:
    """Leave the set-wise writes of this block to whoever opened it."""
    token = _captured_elsewhere.set(True)
    try:
        yield
    finally:
        _captured_elsewhere.reset(token)


# --- update -----------------------------------------------------------------------------------------------------------


def update(queryset: Any, values: dict[str, Any]) -> int:
    """Run `QuerySet.update`, capture what it updated, and return how many rows that were."""
    plain: Callable[[Any], int] = partial(models.QuerySet.update, **values)
    queryset._for_write = True
    using = queryset.db
    concerned = _concerned_by_update(queryset.model, frozenset(values), using)
    shown = _shown_by(queryset.model)
    if not concerned and not shown:
        return plain(queryset)
    with atomic_once(using):
        moves = _primary_key_values(queryset.model, values)
        if moves or shown or not _in_one_piece(queryset, concerned, frozenset(values), using):
            return _update_by_key(queryset, plain, concerned, moves, using)
        if connections[using].vendor == "postgresql":
            with connections[using].execute_wrapper(partial(_capture_returned, concerned, using)):
                return plain(queryset)
        for publication in concerned:
            setwise.publish(publication, using, pk__in=queryset.order_by().values("pk"))
        return plain(queryset)


def _concerned_by_update(model: type[models.Model], written: frozenset[str], using: str) -> tuple[Publication, ...]:
    plan = plan_for(model)
    if plan is None or _captured_elsewhere.get():
        return ()
    ancestors = (p for p in plan.ancestors if _writes_table_of(p, written))
    return tuple(
        p
        for p in triggers.by_signals(publishable((*plan.own, *plan.descendants, *ancestors)), using)
        if p.options.watch is None
        or not written.isdisjoint(p.options.watch)
        or (before.key_may_change(p) and before.is_written(p.key_column, written))
        or _writes_primary_key(p.concrete_model, written)
    )


def _writes_primary_key(model: type[models.Model], written: frozenset[str]) -> bool:
    return not written.isdisjoint({"pk", *(name for f in pk_fields(model) for name in (f.name, f.attname))})


def _shown_by(model: type[models.Model]) -> bool:
    plan = plan_for(model)
    return plan is not None and bool(plan.written_shown) and not _captured_elsewhere.get()


def _writes_table_of(ancestor: Publication, written: frozenset[str]) -> bool:
    columns = ancestor.concrete_model._meta.concrete_fields
    return any(column.name in written or column.attname in written for column in columns)


def _in_one_piece(queryset: Any, concerned: Sequence[Publication], written: frozenset[str], using: str) -> bool:
    """Tell whether the update stays one statement: one table, no old values needed, all keys known to SQL."""
    model = concrete_of(queryset.model)
    return (
        connections[using].vendor in ("postgresql", "sqlite")
        and not model._meta.parents
        and all(p.concrete_model is model for p in concerned)
        and not any(before.is_needed(p, written) for p in concerned)
        and all(setwise.is_possible(p, using) for p in concerned)
    )


def _capture_returned(
    concerned: Sequence[Publication], using: str, execute: Any, sql: str, parameters: Any, many: bool, context: Any
) -> Any:
    """Rewrite Django's UPDATE so that its rows go on into the outbox; the row count stays that of the update."""
    quote = connections[using].ops.quote_name
    table = quote(concerned[0].concrete_model._meta.db_table)
    if not sql.startswith(f"UPDATE {table} SET "):  # noqa: S608  (a comparison)
        return execute(sql, parameters, many, context)
    lanes = outbox.lane_count(using)
    inserts, all_parameters = [], list(parameters or ())
    for publication in concerned:
        select, own_parameters = setwise.select(publication, using, Operation.UPSERT, lanes=lanes)
        source = setwise.read_from(select, publication, using, "logpipe_written")
        insertion, with_trace = setwise.insertion(using, source, own_parameters)
        inserts.append(insertion)
        all_parameters += with_trace
    others = "".join(f", logpipe_{number} AS ({sql})" for number, sql in enumerate(inserts[:-1]))
    with outbox.woken(using, range(lanes)):
        statement = f"WITH logpipe_written AS ({sql} RETURNING {table}.*){others} {inserts[-1]}"
        return execute(statement, tuple(all_parameters), many, context)


def _update_by_key(
    queryset: Any, plain: Callable[[Any], int], concerned: Sequence[Publication], moves: dict[str, Any], using: str
) -> int:
    """Update row by row; of one whose primary key is written the old one is deleted, and the new one published."""
    model = queryset.model
    pks = _locked_primary_keys(queryset, using)
    updated = 0
    for start in range(0, len(pks), ROWS_A_WRITE):
        some = pks[start : start + ROWS_A_WRITE]
        renamed = _renamed(queryset, some, moves, using) if moves else {}
        gone = [pk for pk in some if renamed.get(pk, pk) != pk]
        deletes.publish_showing(model, some, using, moved=not moves)
        intents = _deletions(model, gone, using)
        old = _read_before(concerned, model, [pk for pk in some if pk not in set(gone)], using)
        updated += plain(queryset.filter(pk__in=some))
        intents += [intent for p, rows in old.items() for intent in before.changes(p, rows, using)]
        intents += _upserts(concerned, model, [renamed[pk] for pk in gone], using)
        outbox.write(using, intents)
        deletes.publish_showing(model, [renamed.get(pk, pk) for pk in some], using, written=True)
    return updated


def _read_before(
    concerned: Sequence[Publication], model: type[models.Model], pks: list[Any], using: str
) -> dict[Publication, list[models.Model]]:
    """Read and lock, for each publication, its rows of these that are about to be written."""
    own = {p: deletes.own_pks(p.concrete_model, model, pks, using) for p in concerned}
    return {p: before.read_locked(p, using, some) for p, some in own.items()}


def _deletions(model: type[models.Model], pks: list[Any], using: str) -> list[outbox.Intent]:
    if not pks:
        return []
    instances = list(concrete_of(model)._base_manager.using(using).filter(pk__in=pks))
    leaving = deletes.departing(model, instances, using)
    return [outbox.delete(publication, row, using) for publication, rows in leaving for row in rows]


def _upserts(
    concerned: Sequence[Publication], model: type[models.Model], pks: list[Any], using: str
) -> list[outbox.Intent]:
    own = [p for p in concerned if pks and p.concrete_model is concrete_of(model)]
    return [outbox.upsert(p, row, using) for p in own for row in before.read(p, using, pks)]


def _primary_key_values(model: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
    """Return what an update writes to the primary key, by its columns' attributes; those of parents stay."""
    concrete = concrete_of(model)
    if concrete._meta.parents or not _writes_primary_key(concrete, frozenset(values)):
        return {}
    fields = pk_fields(concrete)
    names = {name: field.attname for field in fields for name in (field.name, field.attname)}
    if len(fields) == 1:
        names["pk"] = fields[0].attname
    return {names[name]: value for name, value in values.items() if name in names}


def _renamed(queryset: Any, pks: list[Any], moves: dict[str, Any], using: str) -> dict[Any, Any]:
    """Return the primary key that each row will have, by its present one; the database tells what it computes."""
    fields = pk_fields(concrete_of(queryset.model))
    computed = {name: value for name, value in moves.items() if hasattr(value, "resolve_expression")}
    given = {
        f.attname: _model_value(f, moves[f.attname]) for f in fields if f.attname in moves.keys() - computed.keys()
    }
    names = [f"logpipe_{field.attname}" if field.attname in computed else field.attname for field in fields]
    rows = queryset.order_by().annotate(**{f"logpipe_{name}": value for name, value in computed.items()})
    renamed = {}
    for pk, *values in rows.filter(pk__in=pks).values_list("pk", *names):
        parts = [given.get(field.attname, value) for field, value in zip(fields, values, strict=True)]
        renamed[pk] = tuple(parts) if len(parts) > 1 else parts[0]
    return renamed


def _model_value(field: models.Field[Any, Any], value: Any) -> Any:
    return target_field(field).to_python(value.pk if isinstance(value, models.Model) else value)


def _locked_primary_keys(queryset: Any, using: str) -> list[Any]:
    model = concrete_of(queryset.model)
    rows = model._base_manager.using(using).filter(pk__in=queryset.order_by().values("pk")).order_by("pk")
    return [row.pk for row in before.locked(rows.only("pk"), using)]


# --- bulk_create ------------------------------------------------------------------------------------------------------


def create(
    queryset: Any,
    objs: list[Any],
    batch_size: int | None = None,
    ignore_conflicts: bool = False,
    update_conflicts: bool = False,
    update_fields: Any = None,
    unique_fields: Any = None,
) -> list[Any]:
    """Run `QuerySet.bulk_create`, and capture what it wrote."""
    plain = partial(
        models.QuerySet.bulk_create,
        queryset,
        objs,
        batch_size,
        ignore_conflicts,
        update_conflicts,
        update_fields,
        unique_fields,
    )
    plan = plan_for(queryset.model)
    queryset._for_write = True
    using = queryset.db
    own: tuple[Publication, ...] = ()
    if plan is not None and not _captured_elsewhere.get():
        own = triggers.by_signals(publishable(plan.own), using)
    shown = _shown_by(queryset.model)
    if plan is None or not objs or not (own or shown):
        return list(plain())
    wanted = [obj for obj in objs if not opted_out(obj)]
    with atomic_once(using):
        if not (ignore_conflicts or update_conflicts):
            created = list(plain())
            outbox.write(using, [outbox.upsert(p, obj, using) for p in own for obj in wanted if obj.pk is not None])
            without_pk = [obj for obj in wanted if obj.pk is None]
            _publish_matching(queryset.model, own, without_pk, (), using)
            deletes.publish_showing(
                queryset.model, [obj.pk for obj in wanted if obj.pk is not None], using, written=True
            )
            return created
        return _create_over_conflicts(
            queryset, plain, plan, wanted, frozenset(update_fields or ()), unique_fields, using
        )


def _create_over_conflicts(
    queryset: Any,
    plain: Callable[[], list[Any]],
    plan: Plan,
    objs: list[Any],
    updated: frozenset[str],
    unique_fields: Any,
    using: str,
) -> list[Any]:
    """Which rows were written nobody says: those are published that have the objects' values, and no key is lost."""
    concerned = triggers.by_signals(publishable((*plan.own, *plan.descendants) if updated else plan.own), using)
    looked_at = [p for p in concerned if updated and before.key_may_change(p)]
    rekeyed = [p for p in looked_at if before.is_written(p.key_column, updated)]
    pks: list[Any] = []
    if rekeyed or (updated and any(shown.moves for shown in plan.shown)):
        rows = _matching_rows(queryset.model, objs, unique_fields, using)
        pks = list(dict.fromkeys(row.pk for found in rows for row in before.locked(found.only("pk"), using)))
        deletes.publish_showing(queryset.model, pks, using, moved=True)
    old = _read_before(rekeyed, queryset.model, pks, using)
    created = list(plain())
    for publication, rows_before in old.items():
        intents = before.changes(publication, rows_before, using)
        outbox.write(using, [intent for intent in intents if intent.operation == Operation.RETRACT])
    _publish_matching(queryset.model, concerned, objs, unique_fields, using)
    return created


def _publish_matching(
    model: type[models.Model], concerned: Sequence[Publication], objs: list[Any], unique_fields: Any, using: str
) -> None:
    if not objs:
        return
    for rows in _matching_rows(model, objs, unique_fields, using):
        for publication in concerned:
            own = publication.concrete_model is concrete_of(model)
            lookup = "pk" if own else parent_link(publication.concrete_model, concrete_of(model))
            setwise.publish(publication, using, **{f"{lookup}__in": rows.values("pk")})
        if _shown_by(model):
            deletes.publish_showing(model, list(rows.values_list("pk", flat=True)), using, written=True)


def _matching_rows(model: type[models.Model], objs: list[Any], unique_fields: Any, using: str) -> list[Any]:
    rows = concrete_of(model)._base_manager.using(using).order_by()
    by_any_key = connections[using].vendor == "mysql"
    found = matching(concrete_of(model), objs, unique_fields or (), by_any_key=by_any_key)
    return [rows.filter(condition) for condition in found]


# --- raw deletes ------------------------------------------------------------------------------------------------------


def raw_delete(queryset: Any, using: str) -> int:
    """Run `QuerySet._raw_delete`, and capture what it deleted."""
    if not deletes.is_published(queryset.model) or _captured_elsewhere.get():
        return int(models.QuerySet._raw_delete(queryset, using) or 0)
    deleted = 0
    with atomic_once(using):
        pks = _locked_primary_keys(queryset.using(using), using)
        for start in range(0, len(pks), ROWS_A_WRITE):
            some = pks[start : start + ROWS_A_WRITE]
            deletes.publish_showing(queryset.model, some, using)
            instances = list(concrete_of(queryset.model)._base_manager.using(using).filter(pk__in=some))
            leaving = deletes.departing(queryset.model, instances, using)
            intents = [outbox.delete(p, instance, using) for p, rows in leaving for instance in rows]
            deleted += int(models.QuerySet._raw_delete(queryset.filter(pk__in=some), using) or 0)
            outbox.write(using, intents)
    return deleted
