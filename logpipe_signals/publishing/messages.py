"""
From claimed outbox rows to messages: one read of the rows' state a publication, every version from that read.

What a row of the outbox says is only *which* row changed. What is sent is the row's state now:

- The row is there: its state, once, however many times it changed.
- The row is gone: its delete, from what the outbox kept of it.
- The row has another key by now, of another lane: the intent moves to that lane, whose relay alone may send the row.
- An old key was given up (a retraction, or a delete whose row came back under another key): a delete of the old key,
  unless another row has that key by now.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from logpipe_signals.backend.base import Headers, Message
from logpipe_signals.conf import settings
from logpipe_signals.envelope import DELETED_SUFFIX, Envelope, Meta
from logpipe_signals.keys import decode_pk, lane_of, pk_text
from logpipe_signals.models import Source
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.claim import ClaimedRow
from logpipe_signals.publishing.lanes import all_lanes
from logpipe_signals.registry import Publication, SerializerClass, publications

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """Messages that belong together: all versions of one row, and the outbox rows they settle when acknowledged."""

    publication: Publication
    object_id: str
    identity: str
    key: str
    sequence: int
    rows: tuple[ClaimedRow, ...]
    messages: tuple[Message, ...]
    error: Exception | None = None
    """Why there are no messages: the serializer raised. Trying again cannot help until somebody changes something."""

    @property
    def order(self) -> int:
        """Return the place in the order of sending: that of the latest change."""
        return self.rows[-1].id


@dataclass(kw_only=True)
class Batch:
    """What became of the claimed rows: to be sent, moved to other lanes, or settled without a message."""

    outgoing: list[Outgoing] = field(default_factory=list)
    moved: list[tuple[ClaimedRow, str, int]] = field(default_factory=list)
    """(row, its key now, that key's lane)"""
    needless: list[ClaimedRow] = field(default_factory=list)


def prepare(
    rows: Sequence[ClaimedRow], using: str, *, headers_supported: bool, progressed: Callable[[], None] = lambda: None
) -> Batch:
    """
    Read the state of claimed rows and make their messages.

    Args:
        progressed: Called between steps, so that leases can be renewed while much is serialised.
    """
    batch = Batch()
    source, sequence = Source.objects.draw_sequence(using)
    wire = Wire(
        source=source,
        sequence=sequence,
        format_code=settings.DEFAULT_FORMAT,
        producer=settings.PRODUCER_ID,
        headers_supported=headers_supported,
    )
    for name, of_publication in _by(rows, lambda row: row.publication).items():
        work = _PublicationBatch(publications[name], using, wire)
        work.prepare(of_publication, batch, progressed)
    batch.outgoing.sort(key=lambda outgoing: outgoing.order)
    return batch


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What all messages of a batch share."""

    source: str
    sequence: int
    format_code: str
    producer: str
    headers_supported: bool

    def headers(self, identity: str, operation: Operation) -> Headers:
        """Return the headers of a message, on a log that has some."""
        return self._meta(identity, operation).as_headers() if self.headers_supported else ()

    def body(self, message_type: str, version: int, message: Any, identity: str, operation: Operation) -> bytes:
        """Return a message's bytes. A delete tells in its body which row it is about, whatever the log."""
        meta_in_body = not self.headers_supported or operation != Operation.UPSERT
        envelope = Envelope(
            type=message_type,
            version=version,
            message=message,
            producer=self.producer,
            meta=self._meta(identity, operation) if meta_in_body else NO_META,
        )
        return envelope.render(self.format_code, meta_in_body=meta_in_body)

    def _meta(self, identity: str, operation: Operation) -> Meta:
        return Meta(identity=identity, source=self.source, sequence=self.sequence, operation=operation.value)


@dataclass(frozen=True)
class _PublicationBatch:
    publication: Publication
    using: str
    wire: Wire

    def prepare(self, rows: list[ClaimedRow], batch: Batch, progressed: Callable[[], None]) -> None:
        pks, unreadable = self._primary_keys(rows)
        batch.outgoing += unreadable
        states = self._read(list(pks.values()))
        rendered = self._serialise(list(states.values()), progressed)
        owned = self._keys_owned(rows, states)
        groups = _by([row for row in rows if row.object_id in pks], lambda row: pks[row.object_id])
        for pk, group in groups.items():
            self._settle(pk, group, states.get(pk), rendered, owned, batch)

    # --- reading ------------------------------------------------------------------------------------------------

    def _primary_keys(self, rows: Sequence[ClaimedRow]) -> tuple[dict[str, Any], list[Outgoing]]:
        pks: dict[str, Any] = {}
        unreadable = []
        for row in rows:
            try:
                pks[row.object_id] = decode_pk(self.publication.model, row.object_id, self.using)
            except Exception as error:  # noqa: BLE001  (a field of the project may raise anything)
                unreadable.append(self._failed(None, [row], row.key, error))
        return pks, unreadable

    def _read(self, pks: list[Any]) -> dict[Any, models.Model]:
        """Read from the database that was written, past any router, default manager or replica."""
        options = self.publication.options
        queryset = self.publication.model._base_manager.using(self.using).filter(pk__in=pks)
        if options.select_related:
            queryset = queryset.select_related(*options.select_related)
        if options.prefetch_related:
            queryset = queryset.prefetch_related(*options.prefetch_related)
        return {instance.pk: instance for instance in queryset}

    def _keys_owned(self, rows: Sequence[ClaimedRow], states: dict[Any, models.Model]) -> frozenset[str]:
        """Return which of the keys that were given up belong to a row again."""
        given_up = {row.key for row in rows if row.operation != Operation.UPSERT}
        column = self.publication.key_column
        if not given_up or column is None or column.primary_key:
            return frozenset()
        values = [value for key in given_up if (value := _column_value(column, key)) is not None]
        owners = self.publication.model._base_manager.using(self.using).filter(**{f"{column.name}__in": values})
        return frozenset(str(value) for value in owners.values_list(column.name, flat=True))

    # --- serialising --------------------------------------------------------------------------------------------

    def _serialise(self, instances: Sequence[models.Model], progressed: Callable[[], None]) -> dict[Any, Any]:
        """Return by primary key the data of every version, or the exception that one of them raised."""
        found: dict[Any, Any] = {}
        for start in range(0, len(instances), SERIALISE_CHUNK):
            chunk = instances[start : start + SERIALISE_CHUNK]
            found.update(self._serialise_chunk(chunk))
            progressed()
        return found

    def _serialise_chunk(self, chunk: Sequence[models.Model]) -> dict[Any, Any]:
        classes = self.publication.serializer_classes
        try:
            versions = [cls(list(chunk), many=True).data for cls in classes]
            return dict(zip((i.pk for i in chunk), zip(*versions, strict=True), strict=True))
        except Exception:  # noqa: BLE001  (one bad row must not hold back the others: each alone)
            return {instance.pk: _alone(classes, instance) for instance in chunk}

    # --- deciding -----------------------------------------------------------------------------------------------

    def _settle(
        self,
        pk: Any,
        group: list[ClaimedRow],
        state: models.Model | None,
        rendered: dict[Any, Any],
        owned: frozenset[str],
        batch: Batch,
    ) -> None:
        data = rendered.get(pk)
        if isinstance(data, Exception):
            batch.outgoing.append(self._failed(pk, group, group[-1].key, data))
            return
        key = self._key(pk, data) if state is not None else None
        upserts = [row for row in group if row.operation == Operation.UPSERT]
        deletes = [row for row in group if row.operation == Operation.DELETE]
        given_up = [row for row in group if row.operation == Operation.RETRACT]
        if state is None and deletes:
            batch.outgoing.append(self._delete(pk, [*upserts, *deletes]))
        elif state is None:
            batch.needless += upserts
        else:
            given_up += [row for row in deletes if row.key != key]
            current = upserts + [row for row in deletes if row.key == key]
            self._send_or_move(pk, sorted(current), data, str(key), batch)
        for row in given_up:
            if row.key in owned or row.key == key:
                batch.needless.append(row)
            else:
                batch.outgoing.append(self._delete(pk, [row]))

    def _send_or_move(self, pk: Any, rows: list[ClaimedRow], data: Any, key: str, batch: Batch) -> None:
        elsewhere = [row for row in rows if row.key != key]
        if elsewhere:
            lane = lane_of(self.publication.topic, key, len(all_lanes(self.using)))
            batch.moved += [(row, key, lane) for row in elsewhere if row.lane != lane]
            rows = [row for row in rows if row.key == key or row.lane == lane]
        if rows:
            batch.outgoing.append(self._outgoing(pk, rows, key, self._upserts(pk, key, data)))

    def _key(self, pk: Any, data: Any) -> str:
        key_field = self.publication.key_field
        return str(data[0][key_field]) if key_field else pk_text(self.publication.model, pk)

    # --- messages -----------------------------------------------------------------------------------------------

    def _upserts(self, pk: Any, key: str, data: Any) -> Iterator[Message]:
        for serializer_class, message in zip(self.publication.serializer_classes, data, strict=True):
            identity = self._identity(serializer_class, pk)
            message_type, version = serializer_class.MESSAGE_TYPE, serializer_class.VERSION
            value = self.wire.body(message_type, version, message, identity, Operation.UPSERT)
            yield self._message(key, value, identity, Operation.UPSERT)

    def _delete(self, pk: Any, rows: Sequence[ClaimedRow]) -> Outgoing:
        rows = sorted(rows)
        last = rows[-1]
        kept = json.loads(last.payload) if last.payload else {}
        return self._outgoing(pk, rows, last.key, self._deletes(pk, last, kept))

    def _deletes(self, pk: Any, row: ClaimedRow, kept: dict[str, Any]) -> Iterator[Message]:
        mode, operation = self.publication.options.delete, Operation(row.operation)
        for serializer_class in self.publication.serializer_classes if mode in ("message", "both") else ():
            identity = self._identity(serializer_class, pk)
            message_type, version = serializer_class.MESSAGE_TYPE, serializer_class.VERSION
            lookup = kept.get(f"{message_type}/{version}", {})
            value = self.wire.body(message_type + DELETED_SUFFIX, version, lookup, identity, operation)
            yield self._message(row.key, value, identity, operation)
        if mode in ("tombstone", "both"):
            identity = self._identity(self.publication.serializer_classes[0], pk)
            yield self._message(row.key, None, identity, operation)

    def _message(self, key: str, value: bytes | None, identity: str, operation: Operation) -> Message:
        headers = self.wire.headers(identity, operation)
        return Message(topic=self.publication.topic, key=key, value=value, headers=headers)

    def _identity(self, serializer_class: SerializerClass, pk: Any) -> str:
        return f"{serializer_class.MESSAGE_TYPE}:{pk_text(self.publication.model, pk)}"

    def _outgoing(self, pk: Any, rows: Sequence[ClaimedRow], key: str, messages: Iterator[Message]) -> Outgoing:
        try:
            made = tuple(messages)
        except Exception as error:  # noqa: BLE001  (a value the format cannot render is this row's failure alone)
            return self._failed(pk, rows, key, error)
        return Outgoing(
            publication=self.publication,
            object_id=rows[-1].object_id,
            identity=self._identity(self.publication.serializer_classes[0], pk),
            key=key,
            sequence=self.wire.sequence,
            rows=tuple(rows),
            messages=made,
        )

    def _failed(self, pk: Any, rows: Sequence[ClaimedRow], key: str, error: Exception) -> Outgoing:
        return Outgoing(
            publication=self.publication,
            object_id=rows[-1].object_id,
            identity=self._identity(self.publication.serializer_classes[0], pk if pk is not None else "?"),
            key=key,
            sequence=self.wire.sequence,
            rows=tuple(rows),
            messages=(),
            error=error,
        )


SERIALISE_CHUNK = 250
NO_META = Meta()


def _alone(classes: Sequence[SerializerClass], instance: models.Model) -> Any:
    try:
        return tuple(cls(instance).data for cls in classes)
    except Exception as error:  # noqa: BLE001  (a serializer of the project may raise anything)
        return error


def _column_value(column: models.Field[Any, Any], key: str) -> Any:
    try:
        return column.to_python(key)
    except Exception:  # noqa: BLE001  (a key that is no value of the column has no owner)
        return None


def _by(rows: Sequence[ClaimedRow], group: Callable[[ClaimedRow], Any]) -> dict[Any, list[ClaimedRow]]:
    groups: dict[Any, list[ClaimedRow]] = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    return groups
