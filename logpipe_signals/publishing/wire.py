"""What all messages of a batch share: whose they are, which sequence they carry, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logpipe_signals.backend.base import Headers, Message
from logpipe_signals.envelope import DELETED_SUFFIX, Envelope, Meta
from logpipe_signals.models.outbox import Operation

NO_META = Meta()
Label = tuple[str, int]
"""A serializer's type and version."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What all messages of a batch share."""

    source: str
    sequence: int
    format_code: str
    producer: str
    headers_supported: bool
    payload: str = ""
    """"change" where each save is its own message, so that consumers keep them in order behind one that fails."""

    def message(
        self,
        topic: str,
        key: str,
        pk_text: str,
        label: Label,
        message: Any,
        operation: Operation,
        extra: Mapping[str, str],
    ) -> Message:
        """Return the message of one version; `extra` are its further headers."""
        meta = self._meta(f"{label[0]}:{pk_text}", operation)
        value = self._body(label, message, meta, operation, extra)
        return Message(topic=topic, key=key, value=value, headers=self.headers(meta.identity, operation, extra))

    def headers(self, identity: str, operation: Operation, extra: Mapping[str, str]) -> Headers:
        """Return the headers of a message, the identity first, on a log that has some."""
        if not self.headers_supported:
            return ()
        own = self._meta(identity, operation).as_headers()
        return (*own, *((name, value.encode()) for name, value in extra.items()))

    def _meta(self, identity: str, operation: Operation) -> Meta:
        return Meta(
            identity=identity,
            source=self.source,
            sequence=self.sequence,
            operation=operation.value,
            payload=self.payload,
        )

    def _body(self, label: Label, message: Any, meta: Meta, operation: Operation, extra: Mapping[str, str]) -> bytes:
        # A delete tells in its body which row it is about, whatever the log.
        in_body = not self.headers_supported or operation != Operation.UPSERT
        suffix = "" if operation == Operation.UPSERT else DELETED_SUFFIX
        envelope = Envelope(
            type=label[0] + suffix,
            version=label[1],
            message=message,
            producer=self.producer,
            meta=meta if in_body else NO_META,
            headers=extra if not self.headers_supported else {},
        )
        return envelope.render(self.format_code, meta_in_body=in_body)
