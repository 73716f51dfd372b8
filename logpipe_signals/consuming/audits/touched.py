"""
Touched keys: what was applied behind an audit's first mark in a partition.

The first mark of a round is sent before any row is read for it. So a row that differs from what a later mark says of it
has drifted only if no message about its key stands between the two; and the same of an extra row, up to the moment when
it is looked for. While an audit is open, each batch therefore leaves the hashes of its keys, 8 bytes each.

The same of its identities: a row may have got another key, in another partition that is further ahead, and then what
comes of it here is dropped as stale. So of a row that differs, the identity is looked for in all partitions.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Max
from django.utils import timezone

from logpipe_signals.auditing.tokens import key_hash
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.consuming.incoming import Incoming
from logpipe_signals.models import Audit, AuditRange, AuditTouch
from logpipe_signals.models.audits import AuditState

OPEN_FOR = timedelta(hours=1)
"""How long after its last mark an audit may be reported on for the first time, if it is to find extra rows."""
LAPSED = "Nothing was heard of the audit for an hour, and what came meanwhile was not recorded. Audit again."
"""The problem of a last round's first mark behind which something was applied and not recorded."""


class _Begun(NamedTuple):
    """An audit whose first mark stood in a partition."""

    audit: int
    message_type: str
    lookup: tuple[str, ...]
    round: int


class TouchedKeys:
    """
    Knows which audits have begun in a partition, so that a topic without any costs no batch a statement.

    Looked up whenever the position of the partition was read: from then on only this process meets its marks, or its
    position is refused.
    """

    def __init__(self, *, group: str, alias: str) -> None:
        self._group, self._alias = group, alias
        self._known: dict[TopicPartition, tuple[int, list[_Begun]]] = {}

    def look(self, generations: Mapping[TopicPartition, int]) -> None:
        """Ask which audits have begun in partitions whose positions were read, for these generations."""
        found = self._read(generations)
        self._known.update({partition: (number, found[partition]) for partition, number in generations.items()})

    def begun(self, partition: TopicPartition) -> None:
        """Take note of a first mark: ask again at the next batch."""
        self._known.pop(partition, None)

    def record(self, partition: TopicPartition, generation: int, applied: Sequence[tuple[Incoming, Any]]) -> None:
        """Leave the keys of what was applied, in its transaction, with every audit that is open in its partition."""
        if not (begun := self._begun(partition, generation)) or not applied:
            return
        still_open = set(_open(self._alias).filter(pk__in=[each.audit for each in begun]).values_list("pk", flat=True))
        if len(still_open) < len(begun):
            self._lapse(partition, [each.audit for each in begun if each.audit not in still_open])
            begun = [each for each in begun if each.audit in still_open]
            self._known[partition] = (generation, begun)
        touches = [self._touch(partition, each, applied) for each in begun]
        AuditTouch.objects.using(self._alias).bulk_create([touch for touch in touches if touch.keys])

    def _lapse(self, partition: TopicPartition, audits: Sequence[int]) -> None:
        """Say of audits that are not done that no more is recorded: nothing may be judged by what was touched."""
        AuditRange.objects.using(self._alias).filter(
            audit__in=audits,
            audit__state=AuditState.OPEN,
            partition=partition.partition,
            begins=True,
            round=F("audit__rounds"),
            problem="",
        ).update(problem=LAPSED)

    def _touch(self, partition: TopicPartition, begun: _Begun, applied: Sequence[tuple[Incoming, Any]]) -> AuditTouch:
        hashes = array("q", {h for each, _ in applied for h in _hashes(each, begun)})
        return AuditTouch(audit_id=begun.audit, round=begun.round, partition=partition.partition, keys=hashes.tobytes())

    def _begun(self, partition: TopicPartition, generation: int) -> list[_Begun]:
        known = self._known.get(partition)
        if known is None or known[0] != generation:
            self.look({partition: generation})
        return self._known[partition][1]

    def _read(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, list[_Begun]]:
        topics, numbers = {each.topic for each in partitions}, {each.partition for each in partitions}
        audits = Audit.objects.using(self._alias).filter(state=AuditState.OPEN, group=self._group, topic__in=topics)
        ranges = AuditRange.objects.using(self._alias).filter(begins=True, partition__in=numbers, audit__in=audits)
        columns = ("audit__topic", "partition", "audit", "audit__message_type", "audit__lookup")
        found: dict[TopicPartition, list[_Begun]] = {partition: [] for partition in partitions}
        rows = ranges.values_list(*columns).annotate(Max("round")).values_list(*columns, "round__max")
        for topic, partition, audit, kind, lookup, number in rows:
            if (place := TopicPartition(topic, partition)) in found:
                found[place].append(_Begun(audit, kind, tuple(lookup), number))
        return found


def touched(audit: Audit, **where: Any) -> set[int]:
    """Return the hashes of the keys and identities that were touched, in a partition or a round, or at all."""
    found: set[int] = set()
    for keys in AuditTouch.objects.using(audit._state.db).filter(audit=audit, **where).values_list("keys", flat=True):
        some: array[int] = array("q")
        some.frombytes(bytes(keys))
        found.update(some)
    return found


def is_open(audit: Audit) -> bool:
    """Tell whether keys are still recorded for an audit."""
    return bool(_open(audit._state.db or DEFAULT_DB_ALIAS).filter(pk=audit.pk).exists())


def _open(alias: str) -> Any:
    recent = AuditRange.objects.using(alias).filter(created__gte=timezone.now() - OPEN_FOR).values("audit")
    return Audit.objects.using(alias).filter(state=AuditState.OPEN, pk__in=recent)


def _hashes(incoming: Incoming, begun: _Begun) -> Iterable[int]:
    for route in (incoming.route, *incoming.siblings):
        if route.message_type == begun.message_type:
            message = incoming.message
            if incoming.siblings:
                message = route.lookup.arguments_for_key(incoming.record.key_text) or {}
            yield key_hash([message.get(name) for name in begun.lookup])
            if incoming.meta.identity:
                yield identity_hash(incoming.meta.source, incoming.meta.identity)


def identity_hash(source: str, identity: str) -> int:
    """Return the short name of a publisher's row (`person:7`); no key has the same."""
    return key_hash([{"source": source, "identity": identity}])
