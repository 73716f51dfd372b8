"""
The envelope: type, version and message, to bytes and back.

    json:{"type":"person","version":1,"message":{"first_name":"Joe"}}

is the whole of it, as django-logpipe writes it. What the relay adds (identity, source, sequence, trace) is `Meta`: it
travels in headers, and on a log without headers in a `meta` member at the end of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from logpipe_signals import formats
from logpipe_signals.exceptions import LogPipeError

DELETED_SUFFIX = ".deleted"
LARGEST_READ = 4 * 1024 * 1024
"""What is read of a message for somebody to look at."""
IDENTITY_HEADER = "logpipe-identity"
SOURCE_HEADER = "logpipe-source"
SEQUENCE_HEADER = "logpipe-sequence"
OPERATION_HEADER = "logpipe-operation"
PAYLOAD_HEADER = "logpipe-payload"
_HEADERS = {
    IDENTITY_HEADER: "identity",
    SOURCE_HEADER: "source",
    SEQUENCE_HEADER: "sequence",
    OPERATION_HEADER: "operation",
    PAYLOAD_HEADER: "payload",
}


class MalformedEnvelope(LogPipeError):
    """The bytes are no envelope; the text says which part is missing or wrong."""


@dataclass(frozen=True, kw_only=True)
class Meta:
    """
    What the relay adds to a message.

    identity:  `type:primary key`, the row a message is about ("" for messages sent by hand).
    source:    Names the publisher's database.
    sequence:  Grows with each newer state of a row, within a source; 0 when there is none.
    operation: upsert, delete or retract.
    payload:   "change" where each save is its own message; "" for states.
    """

    identity: str = ""
    source: str = ""
    sequence: int = 0
    operation: str = ""
    payload: str = ""

    def as_headers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the headers that carry this."""
        values = ((IDENTITY_HEADER, self.identity), (SOURCE_HEADER, self.source), (OPERATION_HEADER, self.operation))
        texts = tuple((header, value.encode()) for header, value in values if value)
        if self.payload:
            texts = (*texts, (PAYLOAD_HEADER, self.payload.encode()))
        return (*texts, (SEQUENCE_HEADER, b"%d" % self.sequence)) if self.sequence else texts

    def as_member(self) -> dict[str, Any]:
        """Return the body's `meta` member that carries this."""
        return {name: value for name in _HEADERS.values() if (value := getattr(self, name))}

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]]) -> Meta:
        """Read what headers carry; foreign and unreadable ones are passed over."""
        found = {_HEADERS[name]: (value or b"").decode(errors="replace") for name, value in headers if name in _HEADERS}
        sequence = _sequence(found.pop("sequence", ""))
        return cls(**found, sequence=sequence) if found or sequence else _NO_META

    @classmethod
    def from_member(cls, member: object) -> Meta:
        """Read a `meta` member; what is no such thing counts as absent."""
        if not isinstance(member, Mapping):
            return cls()
        texts = {name: str(member.get(name) or "") for name in ("identity", "source", "operation", "payload")}
        return cls(**texts, sequence=_sequence(str(member.get("sequence") or "")))


def _sequence(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


_NO_META = Meta()


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message with its type and version."""

    type: str
    version: int
    message: Any
    producer: str = ""
    meta: Meta = Meta()
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, on a log that has none of its own."""

    @property
    def is_delete(self) -> bool:
        """Tell whether the message says that its row is gone."""
        return self.type.endswith(DELETED_SUFFIX)

    @property
    def base_type(self) -> str:
        """Return the type without `.deleted`."""
        return self.type.removesuffix(DELETED_SUFFIX)

    def render(self, format_code: str, *, meta_in_body: bool = False) -> bytes:
        """Return `format:body`, with the members in django-logpipe's order."""
        body = body_of(self.type, self.version, self.message, self.producer)
        if meta_in_body and (member := self.meta.as_member()):
            body["meta"] = {**member, "headers": dict(self.headers)} if self.headers else member
        return formats.render(format_code, body)

    @classmethod
    def parse(cls, value: bytes | str, headers: Iterable[tuple[str, bytes | None]] = ()) -> Envelope:
        """
        Read an envelope.

        Raises:
            MalformedEnvelope: The bytes are no envelope.
        """
        return cls._of(_body(value, formats.parse), headers)

    @classmethod
    def parse_inert(
        cls, value: bytes | str, headers: Iterable[tuple[str, bytes | None]] = (), *, most_bytes: int = LARGEST_READ
    ) -> Envelope:
        """
        Read an envelope for somebody to look at: a pickle is never read, whatever the settings say.

        Raises:
            MalformedEnvelope: The bytes are no envelope, or unpack to more than this.
        """
        return cls._of(_body(value, partial(formats.parse_inert, most_bytes=most_bytes)), headers)

    @classmethod
    def _of(cls, body: Mapping[str, Any], headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
        meta = Meta.from_headers(headers) if headers else _NO_META
        return cls(
            type=_member(body, "type", str),
            version=_member(body, "version", int),
            message=_member(body, "message", object),
            producer=str(body.get("producer") or ""),
            meta=Meta.from_member(body["meta"]) if "meta" in body and meta == _NO_META else meta,
            headers=_further(body["meta"]) if "meta" in body else {},
        )


def _further(member: object) -> dict[str, str]:
    headers = member.get("headers") if isinstance(member, Mapping) else None
    found = headers if isinstance(headers, Mapping) else {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)}


def body_of(message_type: str, version: int, message: Any, producer: str = "") -> dict[str, Any]:
    """Return the body of a message without `meta`, with the members in django-logpipe's order."""
    body: dict[str, Any] = {"type": message_type, "version": version, "message": message}
    if producer:
        body["producer"] = producer
    return body


def _body(value: bytes | str, parse: Callable[[bytes | str], Any]) -> Mapping[str, Any]:
    try:
        body = parse(value)
    except Exception as error:  # A parser may raise anything on hostile bytes, RecursionError included.
        known = isinstance(error, LogPipeError)
        raise MalformedEnvelope(
            str(error) if known else f"The body does not parse: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(body, Mapping):
        raise MalformedEnvelope(f"The body is a {type(body).__name__}, not an object with type, version and message.")
    return body


def _member(body: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in body:
        raise MalformedEnvelope(f"The top-level {name!r} is missing.")
    value = body[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MalformedEnvelope(f"The top-level {name!r} is a {type(value).__name__}, not a {kind.__name__}.")
    return value
