"""A mark among the records of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from logpipe_signals.auditing.marks import AUDIT_SUFFIX
from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.incoming import Refused, Route
from logpipe_signals.envelope import Envelope
from logpipe_signals.exceptions import IgnoredMessageTypeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked(Refused):
    """A record that is no message but a mark. Whoever does not compare passes it over, like an ignored type."""

    body: object = None

    @property
    def begins(self) -> bool:
        """Tell whether it is the first mark of a round in its partition."""
        return isinstance(self.body, Mapping) and self.body.get("begins") is True


def is_mark(message_type: str) -> bool:
    """Tell whether a type is that of marks."""
    return message_type.endswith(AUDIT_SUFFIX)


def marked(envelope: Envelope, record: Record, route: Route | None) -> Marked:
    """Return what a mark is to a subscription; without a route it is compared with nothing."""
    told = IgnoredMessageTypeError(f'Received the mark of an audit, "{envelope.type}", in topic {record.topic}', record)
    return Marked(record=record, error=told, policy="skip", route=route, body=envelope.message)
