"""What an audit reads of the publisher's rows, and when: the order of the steps is what makes it exact."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, models

from logpipe_signals.auditing.marks import MarkedRow
from logpipe_signals.auditing.paths import Path, paths_of, tokens_of
from logpipe_signals.auditing.tokens import key_hash, plain
from logpipe_signals.keys import decode_pk, encode_pk, pk_text
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import showing
from logpipe_signals.publishing.backfills.targets import Target
from logpipe_signals.publishing.reading import delete_payload, version_label
from logpipe_signals.registry import SerializerClass

logger = logging.getLogger(__name__)

ROWS_A_READ = 500


@dataclass(frozen=True, kw_only=True)
class Version:
    """One serializer of a publication, and the paths of what it shows."""

    serializer_class: SerializerClass
    paths: list[Path]

    @classmethod
    def of(cls, serializer_class: SerializerClass) -> Version:
        """Read the paths off a serializer."""
        return cls(serializer_class=serializer_class, paths=paths_of(serializer_class()))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row: its message key, which chooses the partition, and what a mark says of it in each version."""

    key: str
    rows: tuple[MarkedRow, ...]


@dataclass(kw_only=True)
class Range:
    """
    Rows that were read together. `sequence` was drawn before.

    unreadable: Hashes of rows that do not serialise.
    leaving:    Of rows that `when=` leaves out, and whose retraction is to come.
    """

    sequence: int
    read: int
    entries: list[Entry] = field(default_factory=list)
    unreadable: list[tuple[int, ...]] = field(default_factory=list)
    leaving: list[tuple[int, ...]] = field(default_factory=list)


class RangeReader:
    """
    Reads a publication's rows, in the order of the primary key, a range at a time.

    The sequence is drawn first, then the rows are read, then the outbox is asked which of them have a change that was
    not sent yet. So whatever the publisher does meanwhile, of each row one of these holds: its state was on the log
    before its reading; or the mark says that it is under way; or its message stands behind the round's first mark, with
    a higher sequence.
    """

    def __init__(self, target: Target) -> None:
        self.publication = target.publication
        self.using = target.using
        self.versions = [Version.of(cls) for cls in self.publication.serializer_classes]
        options = self.publication.options
        self._rows = target.rows().select_related(*options.select_related) if options.select_related else target.rows()
        if options.prefetch_related:
            self._rows = self._rows.prefetch_related(*options.prefetch_related)

    def ranges(self, pks: Sequence[str] | None = None) -> Iterator[Range]:
        """Return all rows, or those of some primary keys, as the outbox writes these."""
        if pks is not None:
            for start in range(0, len(pks), ROWS_A_READ):
                chosen = [decode_pk(self.publication.model, pk, self.using) for pk in pks[start : start + ROWS_A_READ]]
                yield self._range(self._rows.filter(pk__in=chosen))[0]
            return
        found, last = self._range(self._rows[:ROWS_A_READ])
        while found.read:
            yield found
            found, last = self._range(self._rows.filter(pk__gt=last)[:ROWS_A_READ])

    def leaving(self) -> Iterator[list[tuple[int, ...]]]:
        """Return the hashes of keys whose deletes are in the outbox still, one a version, some at a time."""
        pending = OutboxRow.objects.using(self.using).filter(
            publication=self.publication.name, operation__in=[Operation.DELETE, Operation.RETRACT]
        )
        last = 0
        while rows := list(pending.filter(id__gt=last).order_by("id").values_list("id", "payload")[:ROWS_A_READ]):
            last = rows[-1][0]
            yield [self._hashes(bytes(payload or b"{}")) for _, payload in rows]

    # --- one range ----------------------------------------------------------------------------------------------------

    def _range(self, rows: models.QuerySet[Any]) -> tuple[Range, Any]:
        _, sequence = Source.objects.draw_sequence(self.using)
        instances = list(rows)
        last = instances[-1].pk if instances else None
        found = Range(sequence=sequence, read=len(instances))
        wanted = self._wanted(instances)
        readable = list(zip(wanted, self._serialised(wanted), strict=True))
        pending = self._pending(instances)
        left_out = {instance.pk for instance in instances} - {instance.pk for instance in wanted}
        for instance in instances if left_out else ():
            # The relay will make a retraction of what waits for it.
            if instance.pk in left_out and encode_pk(instance, self.using, self.publication.model) in pending:
                found.leaving.append(self._hashes(delete_payload(self.publication, instance)))
        for instance, data in readable:
            if data is None:
                found.unreadable.append(self._hashes(delete_payload(self.publication, instance)))
            else:
                found.entries.append(self._entry(instance, data, pending))
        return found, last

    def _wanted(self, instances: Sequence[models.Model]) -> list[models.Model]:
        """Leave out what `when=` does: it is retracted, so the subscriber should not have it."""
        when = self.publication.options.when
        if when is None or not instances:
            return list(instances)
        if isinstance(when, models.Q):
            rows = self.publication.model._base_manager.using(self.using).filter(pk__in=[each.pk for each in instances])
            passed = set(rows.filter(when).values_list("pk", flat=True))
            return [instance for instance in instances if instance.pk in passed]
        return [instance for instance in instances if when(instance)]

    def _serialised(self, instances: Sequence[models.Model]) -> Sequence[tuple[Any, ...] | None]:
        """Return each row's message in each version, as it is on the wire; None for one that does not serialise."""
        try:
            shown = [plain(version.serializer_class(instances, many=True).data) for version in self.versions]
            return list(zip(*shown, strict=True))
        except DatabaseError:
            raise
        except Exception:  # noqa: BLE001  (a serializer of the project may raise anything: each row alone)
            return [self._alone(instance) for instance in instances]

    def _alone(self, instance: models.Model) -> tuple[Any, ...] | None:
        try:
            return tuple(plain(version.serializer_class(instance).data) for version in self.versions)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("Publication %r cannot serialise a row; it is not audited.", self.publication.name)
            return None

    def _pending(self, instances: Sequence[models.Model]) -> Collection[str]:
        """Return which of these rows have a change in the outbox. Asked after they were read."""
        # Rows that name others first: once they are gone, those that they named are there.
        named = self._named(instances)
        texts = [encode_pk(instance, self.using, self.publication.model) for instance in instances]
        rows = OutboxRow.objects.using(self.using).filter(publication=self.publication.name, object_id__in=texts)
        return named | set(rows.values_list("object_id", flat=True))

    def _named(self, instances: Sequence[models.Model]) -> set[str]:
        """Return which of these rows show something that was changed, and are not enqueued themselves yet."""
        if self.publication.options.payload != "state":
            return set()
        by_pk = {instance.pk: instance for instance in instances}
        rows = self.publication.model._base_manager.using(self.using).filter(pk__in=list(by_pk))
        # Such a row has no key of its own.
        naming = OutboxRow.objects.using(self.using).filter(
            publication=self.publication.name, key="", operation=Operation.UPSERT, payload__isnull=False
        )
        found: set[str] = set()
        for payload in naming.values_list("payload", flat=True):
            told = json.loads(bytes(payload or b"{}"))
            if "lookup" in told:  # Else it asks for some versions alone.
                shown = showing.named_by(told, rows, self.using).values_list("pk", flat=True)
                found |= {encode_pk(by_pk[pk], self.using, self.publication.model) for pk in shown}
        return found

    def _entry(self, instance: models.Model, data: Sequence[Any], pending: Collection[str]) -> Entry:
        pk = pk_text(self.publication.model, instance.pk)
        key_field = self.publication.key_field
        under_way = int(encode_pk(instance, self.using, self.publication.model) in pending)
        rows = [self._row(pk, version, shown, under_way) for version, shown in zip(self.versions, data, strict=True)]
        if self.publication.key_provider is not None:
            return Entry(key=str(self.publication.key_provider(instance)), rows=tuple(rows))
        return Entry(key=str(data[0][key_field]) if key_field else pk, rows=tuple(rows))

    def _row(self, pk: str, version: Version, shown: Any, under_way: int) -> MarkedRow:
        lookup = [shown.get(name) for name in self.publication.lookup_fields]
        return MarkedRow(pk, lookup, " ".join(tokens_of(shown, version.paths)), under_way)

    def _hashes(self, payload: bytes) -> tuple[int, ...]:
        members = json.loads(payload)
        kept = [members.get(version_label(version.serializer_class), {}) for version in self.versions]
        return tuple(key_hash([member.get(name) for name in self.publication.lookup_fields]) for member in kept)
