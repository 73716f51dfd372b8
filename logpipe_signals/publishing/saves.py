"""
Capturing the save of one instance: what it concerns, what the rows were before, what is published after.

Where a row's old key or old values matter, its row is read and locked before the save; where all that matters is an old
key that SQL can tell, `rekeying` does both in the one statement that writes the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections, models

from logpipe_signals.publishing import before, outbox, rekeying, triggers
from logpipe_signals.publishing.plans import Model, Plan, concrete_of, parent_link
from logpipe_signals.publishing.reading import pk_of
from logpipe_signals.publishing.suspend import publishable
from logpipe_signals.registry import Publication


class Save:
    """One save of one instance: made before it happens, captured after."""

    def __init__(
        self,
        plan: Plan,
        instance: models.Model,
        using: str,
        *,
        raw: bool = False,
        force_insert: bool = False,
        update_fields: Any = None,
    ) -> None:
        self.instance = instance
        self.using = using
        self.raw = raw
        self.written = frozenset(update_fields) if update_fields is not None else None
        self._inserts = force_insert or self._would_insert()
        self._triggered = (*plan.own, *plan.ancestors)
        self._own = self._by_signals(plan.own)
        self._ancestors = tuple(p for p in self._by_signals(plan.ancestors) if self._writes(p.concrete_model))
        self._descendants = () if force_insert and not raw else self._by_signals(plan.descendants)
        self._shown = tuple(shown for shown in plan.written_shown if publishable([shown.publication], instance))
        self._old: dict[Publication, models.Model] = {}
        self._predicted: list[outbox.Intent] | None = None
        self.missing: tuple[Model, ...] = ()
        """Whose row `look` did not find: nobody could say which key it gives up if it came now."""

    def look(self) -> None:
        """Look at the rows as they are, before they are written, where that matters."""
        if self._inserts:
            return
        for shown in self._shown:
            if shown.moves:
                self._lock(shown.model)
                shown.publish_leaving([pk_of(shown.model, self.instance)], self.using)
        concerned = (*self._own, *self._ancestors, *self._descendants)
        needed = [publication for publication in concerned if before.is_needed(publication, self.written)]
        predictable = concerned == self._own and not any(map(self._is_computed, self._own))
        if needed and predictable and rekeying.serves(self._own, self.using):
            self._predicted, found = rekeying.write(self._own, self.instance, self.using)
            self.missing = () if found else (self._own[0].concrete_model,)
            return
        for publication in needed:
            if (old := self._locked(publication)) is not None:
                self._old[publication] = old
            elif publication not in self._descendants:
                self.missing += (publication.concrete_model,)

    def _lock(self, model: Model) -> None:
        """Keep the row as it is: where it moves away from is asked next."""
        if connections[self.using].features.has_select_for_update:
            row = model._base_manager.using(self.using).filter(pk=pk_of(model, self.instance))
            before.locked(row.only("pk"), self.using).first()

    def capture(self) -> None:
        """Write the outbox rows of this save."""
        if self.instance.pk is None:
            return
        intents = list(self._intents())
        if self._predicted is not None:
            intents = rekeying.corrections(self._predicted, intents)
        outbox.write(self.using, intents)
        triggers.wake_for(self._triggered, self.using)
        for shown in self._shown:
            if shown.moves or not self._inserts:
                shown.publish_written([pk_of(shown.model, self.instance)], self.using)

    def capture_if_written(self) -> None:
        """Write them if the rows are there: something was raised, perhaps after they were written."""
        model = concrete_of(type(self.instance))
        if self.instance.pk is not None and model._base_manager.using(self.using).filter(pk=self.instance.pk).exists():
            self.capture()

    def _by_signals(self, candidates: tuple[Publication, ...]) -> tuple[Publication, ...]:
        return triggers.by_signals(publishable(candidates, self.instance), self.using)

    def _intents(self) -> Iterator[outbox.Intent]:
        for publication in (*self._own, *self._ancestors):
            if (whole := self._whole(publication)) is not None:
                yield from self._change(publication, whole)
        for publication in self._descendants:
            if (child := self._stored(publication)) is not None:
                yield from self._change(publication, child)

    def _change(self, publication: Publication, new: models.Model) -> Iterator[outbox.Intent]:
        yield from before.change(publication, self._old.get(publication), new, self.using, self.written)

    def _whole(self, publication: Publication) -> models.Model | None:
        """Return the instance with all of its columns: a multi-table child from a fixture has its own table's."""
        if (self.raw and publication.concrete_model._meta.parents) or self._is_computed(publication):
            return self._stored(publication)
        return self.instance

    def _is_computed(self, publication: Publication) -> bool:
        """Tell whether the database computes the key: `row.number = F("number") + 1`."""
        column = publication.key_column
        return column is not None and hasattr(self.instance.__dict__.get(column.attname), "resolve_expression")

    def _locked(self, publication: Publication) -> models.Model | None:
        """Lock and return the row; who waits while it is deleted and made again sees the new one at a second look."""
        found = before.locked(self._rows(publication), self.using).first()
        if found is None and not self.instance._state.adding:
            found = before.locked(self._rows(publication), self.using).first()
        return found

    def _stored(self, publication: Publication) -> models.Model | None:
        """Return the publication's row that this save concerns, as the database has it."""
        return self._rows(publication).first()

    def _rows(self, publication: Publication) -> models.QuerySet[Any]:
        saved, model = concrete_of(type(self.instance)), publication.concrete_model
        if model is saved or model in saved._meta.get_parent_list():
            lookup = {"pk": pk_of(model, self.instance)}
        else:
            lookup = {parent_link(model, saved): pk_of(saved, self.instance)}
        return before.rows_of(publication, self.using).filter(**lookup)

    def _writes(self, ancestor: Model) -> bool:
        """Tell whether this save writes the parent's table too: a fixture does not, nor do other update_fields."""
        if self.raw:
            return False
        names = {name for column in ancestor._meta.concrete_fields for name in (column.name, column.attname)}
        return self.written is None or not self.written.isdisjoint(names)

    def _would_insert(self) -> bool:
        """Tell whether Django will insert without a look: as `Model._save_table` does for new primary keys."""
        if self.instance.pk is None:
            return True
        pk = self.instance._meta.pk
        parts = getattr(self.instance._meta, "pk_fields", [pk])
        defaults = all(field.has_default() or field.has_db_default() for field in parts)
        return self.instance._state.adding and not self.raw and defaults
