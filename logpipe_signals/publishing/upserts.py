"""Messages of rows that are there: most of what is ever sent, so what they share is worked out once a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from logpipe_signals import formats
from logpipe_signals.backend.base import Message
from logpipe_signals.envelope import IDENTITY_HEADER, body_of
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing.wire import Label, Wire
from logpipe_signals.registry import Publication

NOBODY = "nobody"
"""Whose headers, but for the identity, are everybody's."""


class Upserts:
    """Makes the same messages as `Wire.message` does, of one publication's rows in one batch."""

    def __init__(self, publication: Publication, wire: Wire) -> None:
        self._topic = publication.topic
        self._wire = wire
        self._render = formats.rendering(wire.format_code)
        self._labels = [(cls.MESSAGE_TYPE, cls.VERSION) for cls in publication.serializer_classes]
        self._shared_headers = wire.headers(NOBODY, Operation.UPSERT, {})[1:]

    def of(
        self,
        pk_text: str,
        key: str,
        data: tuple[Any, ...],
        extra: Mapping[str, str],
        versions: Collection[int] | None = None,
    ) -> tuple[Message, ...]:
        """Return the message of each version of a row (or of these alone), whose further headers are `extra`."""
        make = self._alone if extra or not self._shared_headers else self._one
        if len(data) == 1 and versions is None:
            return (make(self._labels[0], pk_text, key, data[0], extra),)
        return tuple(
            [
                make(label, pk_text, key, member, extra)
                for label, member in zip(self._labels, data, strict=True)
                if versions is None or label[1] in versions
            ]
        )

    def _one(self, label: Label, pk_text: str, key: str, member: Any, extra: Mapping[str, str]) -> Message:
        message_type, version = label
        value = self._render(body_of(message_type, version, member, self._wire.producer))
        identity = (IDENTITY_HEADER, f"{message_type}:{pk_text}".encode())
        return Message(self._topic, key, value, (identity, *self._shared_headers))

    def _alone(self, label: Label, pk_text: str, key: str, member: Any, extra: Mapping[str, str]) -> Message:
        return self._wire.message(self._topic, key, pk_text, label, member, Operation.UPSERT, extra)
