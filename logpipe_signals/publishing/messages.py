"""
What a batch sends: messages, the outbox rows they settle, and what all of them share.

What a row of the outbox says is only *which* row changed (`state`), or what one save made of it (`changes`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from logpipe_signals.backend.base import Message
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.keys import pk_text
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.reading import ERROR_MEMBER, version_label
from logpipe_signals.publishing.upserts import Upserts
from logpipe_signals.publishing.wire import Wire
from logpipe_signals.registry import Publication, SerializerClass
from logpipe_signals.schemas.validation import require_sent, validates

_VERSIONS = b'{"only_versions": '


def only_versions(versions: Sequence[int]) -> bytes | None:
    """Return what an upsert's outbox row says where a backfill is to send some versions alone; None: all."""
    return _VERSIONS + json.dumps(sorted(versions)).encode() + b"}" if versions else None


def asks_for_versions(row: ClaimedRow) -> bool:
    """Tell whether an upsert's outbox row is of a backfill of some versions alone."""
    return row.operation == Operation.UPSERT and row.payload is not None and row.payload.startswith(_VERSIONS)


def versions_wanted(intents: Iterable[ClaimedRow]) -> frozenset[int] | None:
    """Return which versions these upserts ask for together; None: all, as every live change does."""
    wanted: set[int] = set()
    for intent in intents:
        if intent.payload is None or not asks_for_versions(intent):
            return None
        wanted.update(json.loads(intent.payload)["only_versions"])
    return frozenset(wanted)


class NotSerialisable(LogPipeError):
    """What capture kept of a deleted row, or of a change, is an error instead of a message."""


@dataclass(kw_only=True, slots=True)
class Outgoing:
    """Messages that belong together: all versions of one row, and the outbox rows they settle when acknowledged."""

    publication: Publication
    object_id: str
    pk_text: str
    key: str
    sequence: int
    rows: tuple[ClaimedRow, ...]
    messages: tuple[Message, ...]
    is_whole: bool = True
    """Whether all versions leave; where a backfill asks for some alone, dead letters of the row stay open."""
    error: Exception | None = None
    """Why there are no messages: the serializer raised. Trying again cannot help until somebody changes something."""

    @property
    def identity(self) -> str:
        """Return which row the messages are about."""
        return f"{self.publication.serializer_classes[0].MESSAGE_TYPE}:{self.pk_text}"

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
    parked: list[Outgoing] = field(default_factory=list)
    """Changes behind a dead letter of their row."""
    enqueued: bool = False
    """Whether there are new rows in the outbox: those that show what was changed."""

    def add(self, other: Batch) -> None:
        """Take over what became of other rows."""
        self.outgoing += other.outgoing
        self.moved += other.moved
        self.needless += other.needless
        self.parked += other.parked
        self.enqueued |= other.enqueued


@dataclass(frozen=True)
class MessageMaker:
    """Makes the messages of one publication's rows."""

    publication: Publication
    using: str
    wire: Wire

    def upserted(
        self, pk: Any, rows: Sequence[ClaimedRow], key: str, data: tuple[Any, ...], extra: Mapping[str, str]
    ) -> Outgoing:
        """Return the messages of a row that is there: all versions of its data, or those that are asked for."""
        text = self._pk_text(pk)
        versions = versions_wanted(rows)
        try:
            if self._validates:
                self._require_schemas(data)
            made = self._upserts.of(text, key, data, extra, versions)
        except Exception as error:  # noqa: BLE001  (formats and what a serializer gives them may raise anything)
            return self.failed(pk, rows, error)
        return self._outgoing(text, rows, key, made, None, is_whole=versions is None)

    def sent(self, pk: Any, rows: Sequence[ClaimedRow], key: str, messages: Iterable[Message]) -> Outgoing:
        """Return the messages of a row; an error while they are made is this row's failure alone."""
        try:
            made = tuple(messages)
        except Exception as error:  # noqa: BLE001  (serializers, formats and header providers may raise anything)
            return self.failed(pk, rows, error)
        return self._outgoing(self._pk_text(pk), rows, key, made, None)

    def failed(self, pk: Any, rows: Sequence[ClaimedRow], error: Exception) -> Outgoing:
        """Return what is set aside instead of being sent."""
        return self._outgoing(self._pk_text(pk), rows, rows[-1].key, (), error)

    def failures(self, pk: Any, rows: Sequence[ClaimedRow], error: Exception) -> list[Outgoing]:
        """Set rows aside, the upserts together: the next one may supersede them, and no delete or retraction."""
        upserts = [row for row in rows if row.operation == Operation.UPSERT]
        letters = [[row] for row in rows if row.operation != Operation.UPSERT]
        return [self.failed(pk, some, error) for some in ([upserts, *letters] if upserts else letters)]

    def kept(self, pk: Any, row: ClaimedRow, *, tombstone: bool = True) -> Iterable[Message]:
        """
        Make the messages of what capture kept: a delete, a retraction, or a change.

        Args:
            tombstone: Whether the key may have one; it takes whatever the key stands for.

        Raises:
            NotSerialisable: Capture could not serialise it.
        """
        operation = Operation(row.operation)
        kept = json.loads(row.payload) if row.payload else {}
        if ERROR_MEMBER in kept:
            raise NotSerialisable(kept[ERROR_MEMBER])
        mode = "message" if operation == Operation.UPSERT else self.publication.options.delete
        for serializer_class in self.publication.serializer_classes if mode in ("message", "both") else ():
            label = version_label(serializer_class)
            if operation == Operation.UPSERT and label not in kept:
                continue  # A version that came after the change, or one that its backfill was not asked for.
            member = kept.get(label, {})
            if self._validates and operation == Operation.UPSERT:
                require_sent(serializer_class, member)
            yield self.version(serializer_class, pk, row.key, member, operation, row.headers or {})
        if tombstone and mode in ("tombstone", "both"):
            yield self._tombstone(pk, row, operation)

    def version(
        self,
        serializer_class: SerializerClass,
        pk: Any,
        key: str,
        member: Any,
        operation: Operation,
        extra: Mapping[str, str],
    ) -> Message:
        """Return the message of one serializer's version."""
        label = (serializer_class.MESSAGE_TYPE, serializer_class.VERSION)
        return self.wire.message(self.publication.topic, key, self._pk_text(pk), label, member, operation, extra)

    @cached_property
    def _upserts(self) -> Upserts:
        return Upserts(self.publication, self.wire)

    @cached_property
    def _validates(self) -> bool:
        return validates("sent")

    def _require_schemas(self, data: tuple[Any, ...]) -> None:
        for serializer_class, member in zip(self.publication.serializer_classes, data, strict=True):
            require_sent(serializer_class, member)

    def _pk_text(self, pk: Any) -> str:
        return pk_text(self.publication.model, pk)

    def _tombstone(self, pk: Any, row: ClaimedRow, operation: Operation) -> Message:
        identity = f"{self.publication.serializer_classes[0].MESSAGE_TYPE}:{self._pk_text(pk)}"
        headers = self.wire.headers(identity, operation, row.headers or {})
        return Message(topic=self.publication.topic, key=row.key, value=None, headers=headers)

    def _outgoing(
        self,
        text: str,
        rows: Sequence[ClaimedRow],
        key: str,
        messages: tuple[Message, ...],
        error: Exception | None,
        *,
        is_whole: bool = True,
    ) -> Outgoing:
        return Outgoing(
            publication=self.publication,
            object_id=rows[-1].object_id,
            pk_text=text,
            key=key,
            sequence=self.wire.sequence,
            rows=tuple(rows),
            messages=messages,
            is_whole=is_whole,
            error=error,
        )
