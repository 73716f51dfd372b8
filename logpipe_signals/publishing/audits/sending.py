"""Sending marks: each into the partition of its rows, behind whatever was sent of them before."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from logpipe_signals.auditing.marks import AUDIT_SUFFIX, Mark, MarkedRow
from logpipe_signals.auditing.tokens import checksum
from logpipe_signals.backend import get_producer_backend
from logpipe_signals.backend.base import Delivery, Message
from logpipe_signals.conf import settings
from logpipe_signals.envelope import Envelope
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.publishing.audits.reading import Entry, Version
from logpipe_signals.registry import Publication

ROWS_A_MARK = 500
BYTES_A_MARK = 200_000
ROWS_HELD = 20_000
PIPELINE_DEPTH = 8
EVERYWHERE = "*"
"""Stands for all partitions where the log does not tell which there are."""


class AuditFailed(LogPipeError):
    """An audit cannot go on; nothing it said so far is wrong, and the subscriber reports it as incomplete."""


@dataclass(kw_only=True)
class _Held:
    """Rows of one partition that wait for a mark; the lowest sequence holds for all of them."""

    key: str
    sequence: int
    entries: list[Entry] = field(default_factory=list)
    size: int = 0


class Places:
    """
    Which partition a key's messages go to, and a key by which a mark gets to a partition.

    Where the log does not tell, rows of one key share a mark, and its key is theirs.
    """

    def __init__(self, topic: str) -> None:
        self._layout = get_producer_backend().layout(topic)
        self.keys: dict[str, str] = {}
        partitions = set(self._layout.partitions) if self._layout is not None else set()
        numbers = count()
        while partitions - self.keys.keys():
            key = f"audit-{next(numbers)}"
            self.keys.setdefault(self.of(key), key)

    @property
    def known(self) -> bool:
        """Tell whether the log says where a key goes."""
        return self._layout is not None

    def of(self, key: str) -> str:
        """Return where a key's messages go; those without a key may be anywhere."""
        if self._layout is None:
            return key
        return self._layout.partition_of(key) if key else self._layout.partitions[0]


class MarkSender:
    """Gathers rows by partition, makes marks of them in every version, and sees that they arrive where they should."""

    def __init__(self, publication: Publication, versions: Sequence[Version], *, audit: str, rounds: int) -> None:
        self.publication = publication
        self.places = Places(publication.topic)
        self.marks = self.sent_bytes = 0
        self._versions = versions
        self._audit, self._rounds = audit, rounds
        self._producer = get_producer_backend()
        self._on_their_way: deque[tuple[Delivery, list[str]]] = deque()
        self._held: dict[str, _Held] = {}
        self._sent: dict[str, int] = {}
        self._number = self._round = 0
        self._source = ""

    def begin(self, round_number: int, source: str, sequence: int) -> None:
        """Begin a round: its first marks are on the log before anything is read for it."""
        self._round, self._source = round_number, source
        self._number = 0
        self._held.clear()
        self._sent = dict.fromkeys(self.places.keys, 0)
        for partition, key in self.places.keys.items():
            self._send(partition, key, sequence, [()] * len(self._versions), begins=True)
        self.settle()

    def add(self, entries: Sequence[Entry], sequence: int) -> None:
        """Take rows that were read behind a sequence, and send what fills a mark."""
        for entry in entries:
            partition = self.places.of(entry.key)
            key = self.places.keys.get(partition, entry.key)
            held = self._held.setdefault(partition, _Held(key=key, sequence=sequence))
            held.entries.append(entry)
            held.size += sum(len(row.tokens) + len(row.pk) + 40 for row in entry.rows)
            if len(held.entries) >= ROWS_A_MARK or held.size >= BYTES_A_MARK:
                self._flush(partition)
        if not self.places.known or sum(len(held.entries) for held in self._held.values()) >= ROWS_HELD:
            self.flush()

    def leave(self, hashes: Sequence[tuple[int, ...]], sequence: int) -> None:
        """Tell of keys that are about to go, or that nothing can be said about; any partition will do."""
        partition, key = next(iter(self.places.keys.items()), (EVERYWHERE, f"audit-{self._audit}"))
        for start in range(0, len(hashes), ROWS_A_MARK):
            some = hashes[start : start + ROWS_A_MARK]
            self._send(partition, key, sequence, [()] * len(self._versions), leaving=list(zip(*some, strict=True)))

    def flush(self) -> None:
        """Send the rows that wait."""
        for partition in list(self._held):
            self._flush(partition)

    def end(self, sequence: int, *, deletes: bool, cancelled: bool = False) -> None:
        """End a round: the last mark of each partition tells how many there are."""
        if not cancelled:
            self.flush()
        places = self.places.keys or {EVERYWHERE: f"audit-{self._audit}"}
        total = {partition: sent + 1 for partition, sent in self._sent.items()}
        expected = total if self.places.known else {EVERYWHERE: sum(self._sent.values()) + 1}
        for partition, key in places.items():
            last = {"expected": expected, "deletes": deletes and self.places.known, "cancelled": cancelled}
            self._send(partition, key, sequence, [()] * len(self._versions), **last)
        self.settle()

    def settle(self, *, leaving: int = 0) -> None:
        """Wait until all but so many batches of marks have arrived."""
        while len(self._on_their_way) > leaving:
            delivery, partitions = self._on_their_way.popleft()
            for sent, partition in zip(delivery.wait(settings.RELAY_SEND_TIMEOUT_SECONDS), partitions, strict=True):
                if sent.error is not None:
                    raise sent.error
                self._must_be_at(partition, sent.metadata.partition if sent.metadata is not None else partition)

    # --- one mark -----------------------------------------------------------------------------------------------------

    def _flush(self, partition: str) -> None:
        held = self._held.pop(partition)
        rows = list(zip(*(entry.rows for entry in held.entries), strict=True))
        self._send(partition, held.key, held.sequence, rows)

    def _send(self, partition: str, key: str, sequence: int, rows: Sequence[Sequence[MarkedRow]], **more: Any) -> None:
        self._number += 1
        self._sent[partition] = self._sent.get(partition, 0) + 1
        leaving = more.pop("leaving", [None] * len(self._versions))
        messages = [
            self._message(version, key, sequence, own, leaving=gone, **more)
            for version, own, gone in zip(self._versions, rows, leaving, strict=True)
        ]
        self.marks += len(messages)
        self.sent_bytes += sum(len(message.value or b"") for message in messages)
        delivery = self._producer.submit(messages, timeout_seconds=settings.RELAY_SEND_TIMEOUT_SECONDS)
        self._on_their_way.append((delivery, [partition] * len(messages)))
        self.settle(leaving=PIPELINE_DEPTH)

    def _message(self, version: Version, key: str, sequence: int, rows: Sequence[MarkedRow], **more: Any) -> Message:
        mark = Mark(
            audit=self._audit,
            round=self._round,
            rounds=self._rounds,
            number=self._number,
            source=self._source,
            sequence=sequence,
            lookup=list(self.publication.lookup_fields),
            paths=[".".join(path) for path in version.paths],
            rows=list(rows),
            count=len(rows),
            checksum=checksum(row.tokens for row in rows),
            **more,
        )
        cls = version.serializer_class
        envelope = Envelope(
            type=cls.MESSAGE_TYPE + AUDIT_SUFFIX,
            version=cls.VERSION,
            message=mark.as_message(),
            producer=settings.PRODUCER_ID,
        )
        return Message(topic=self.publication.topic, key=key, value=envelope.render(settings.DEFAULT_FORMAT))

    def _must_be_at(self, expected: str, partition: str) -> None:
        if self.places.known and partition != expected:
            raise AuditFailed(
                f"A mark for partition {expected} of topic {self.publication.topic!r} went to {partition}: the topic "
                "got other partitions meanwhile, and keys moved. Start the audit again when consumers have caught up."
            )
