"""
What a row was before it is written: asked of the locked database row, never of the instance in hand.

An instance may be older than its row: saved whole it writes old values back, and what it remembers of them proves
nothing. So where it matters (a key that may change, `watch=`) the row is read and locked before the write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models

from logpipe_signals.publishing import outbox, reading
from logpipe_signals.registry import Publication

ROWS_A_READ = 500
Model = type[models.Model]


def key_may_change(publication: Publication) -> bool:
    """Tell whether a row can get another message key while it lives."""
    if publication.options.key_immutable:
        return False
    if publication.key_provider is not None:
        return True
    if publication.key_field is None:
        return False
    column = publication.key_column
    return column is None or not (column.primary_key or column in getattr(publication.model._meta, "pk_fields", ()))


def is_needed(publication: Publication, written: frozenset[str] | None = None) -> bool:
    """Tell whether a write (of these fields, or of all) has to look at the row first."""
    if publication.options.watch is not None:
        return True
    return key_may_change(publication) and is_written(publication.key_column, written)


def rows_of(publication: Publication, using: str) -> models.QuerySet[Any]:
    """Return all rows with what their serializers show, past any router and default manager."""
    rows = publication.concrete_model._base_manager.using(using)
    relations = publication.options.select_related
    return rows.select_related(*relations) if relations else rows.all()


def locked(rows: models.QuerySet[Any], using: str) -> models.QuerySet[Any]:
    """Lock the rows, their multi-table parents' too, and what is only shown with them not."""
    features = connections[using].features
    if not features.has_select_for_update:
        return rows
    of = ("self", *_parent_links(rows.model)) if features.has_select_for_update_of else ()
    return rows.select_for_update(of=of, no_key=features.has_select_for_no_key_update)


def read(publication: Publication, using: str, pks: list[Any]) -> list[models.Model]:
    """Read rows by primary key."""
    chunks = (pks[start : start + ROWS_A_READ] for start in range(0, len(pks), ROWS_A_READ))
    return [row for chunk in chunks for row in rows_of(publication, using).filter(pk__in=chunk)]


def read_locked(publication: Publication, using: str, pks: list[Any]) -> list[models.Model]:
    """Read and lock rows by primary key, in its order, so that two that lock the same rows do not block each other."""
    found = _read_locked(publication, using, pks)
    # Who waits for a row's lock while the row is deleted and made again does not see the new one: a second look does.
    missing = set(pks) - {row.pk for row in found}
    return found + _read_locked(publication, using, list(missing)) if missing else found


def _read_locked(publication: Publication, using: str, pks: list[Any]) -> list[models.Model]:
    found: list[models.Model] = []
    for start in range(0, len(pks), ROWS_A_READ):
        rows = rows_of(publication, using).filter(pk__in=pks[start : start + ROWS_A_READ]).order_by("pk")
        found += locked(rows, using)
    return found


def change(
    publication: Publication,
    old: models.Model | None,
    new: models.Model,
    using: str,
    written: frozenset[str] | None = None,
) -> Iterable[outbox.Intent]:
    """
    Return what a write of one row intends to publish.

    Args:
        old: The row as it was; None when there was none, or nobody needed to know.
        written: Names of the fields that were written, where not all were.
    """
    if old is None:
        return [outbox.upsert(publication, new, using)]
    old_key = reading.key_of(publication, old)
    key = reading.key_of(publication, new) if is_written(publication.key_column, written) else old_key
    if key != old_key:
        return [outbox.retract(publication, old, using), outbox.upsert(publication, new, using)]
    watch = publication.options.watch
    if watch is not None and not any(_changed(publication.model, name, old, new, written) for name in watch):
        return []
    return [outbox.upsert(publication, new, using, key=key)]


def changes(publication: Publication, old: list[models.Model], using: str) -> list[outbox.Intent]:
    """Return what a write of these rows intends to publish, reading them again; those that are gone publish nothing."""
    new = {row.pk: row for row in read(publication, using, [row.pk for row in old])}
    return [i for row in old if row.pk in new for i in change(publication, row, new[row.pk], using)]


def is_written(column: models.Field[Any, Any] | None, written: frozenset[str] | None) -> bool:
    """Tell whether a write of these fields, or of all, writes a column; a key that is no column may depend on any."""
    return written is None or column is None or not written.isdisjoint({column.name, column.attname})


def _changed(model: Model, name: str, old: models.Model, new: models.Model, written: frozenset[str] | None) -> bool:
    column: Any = model._meta.get_field(name)
    if not column.concrete or column.many_to_many or not is_written(column, written):
        return False
    before, after = getattr(old, column.attname), getattr(new, column.attname)
    if hasattr(after, "resolve_expression"):
        return True  # The database computed it; what came out is not known here.
    return before != after and before != column.to_python(after)


def _parent_links(model: Model, prefix: str = "") -> list[str]:
    links: list[str] = []
    for parent, field in model._meta.parents.items():
        if field is not None and not model._meta.proxy:
            links += [prefix + field.name, *_parent_links(parent, f"{prefix}{field.name}__")]
    return links
