"""
Payloads for people: JSON where it can be read, redacted where the serializers say so, bytes otherwise.

Content is data: nothing here is marked safe, and a pickle is never read. What cannot be read cannot be redacted, so it
is for those alone who may see everything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.envelope import LARGEST_READ, Envelope
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.models import DeadLetter
from logpipe_signals.redaction import (
    NO_PATHS,
    NO_SECRETS,
    Paths,
    Secrets,
    redacted,
    secrets_in,
    sensitive_paths,
    without,
)
from logpipe_signals.registry import publications

LONGEST_SHOWN = 50_000
"""Characters of a payload on a page; the rest is in the download."""
HEX_BYTES = 2048


@dataclass(frozen=True, kw_only=True)
class Payload:
    """
    What can be said of a letter's bytes.

    body:      The envelope's members; None where they cannot be read, `problem` says why.
    is_known:  Whether this project has a serializer for the type, and so knows what is sensitive.
    """

    letter: DeadLetter
    size: int
    body: dict[str, Any] | None
    problem: str
    is_known: bool
    paths: Paths
    secrets: Secrets

    @property
    def can_be_redacted(self) -> bool:
        """Tell whether it can be shown to those who may not see everything."""
        return (self.body is not None and self.is_known) or self.letter.value is None

    def pretty(self, *, whole: bool) -> str:
        """Return its JSON, indented; redacted unless `whole`."""
        if self.body is None:
            return ""
        body = self.body if whole else {**self.body, "message": redacted(self.body["message"], self.paths)}
        try:
            return json.dumps(body, indent=2, ensure_ascii=False, default=_as_text)
        except (RecursionError, TypeError):  # as deep as a parser takes is deeper than a page can show
            return ""

    def kept(self, *, whole: bool) -> str:
        """Return what capture kept of a deleted row or of a change, indented."""
        if self.letter.payload is None:
            return ""
        try:
            members = json.loads(bytes(self.letter.payload))
        except ValueError:
            return ""
        if not whole:
            members = {label: redacted(member, self.paths) for label, member in members.items()}
        return self.hidden(json.dumps(members, indent=2, ensure_ascii=False), whole=whole)

    def headers(self, *, whole: bool) -> list[tuple[str, str]]:
        """Return name and text of each header."""
        texts = ((name, text_of(base64.b64decode(value or ""))) for name, value in self.letter.headers)
        return [(name, self.hidden(text, whole=whole)) for name, text in texts]

    def key(self, *, whole: bool = False) -> str:
        """Return the text of the key."""
        return self.hidden(text_of(self.letter.key), whole=whole)

    def hidden(self, text: str, *, whole: bool = False) -> str:
        """Return a text without the payload's sensitive values, unless it may be `whole`."""
        return text if whole else without(text, self.secrets)


def payload_of(letter: DeadLetter) -> Payload:
    """Read a letter's bytes as far as that is safe."""
    value = None if letter.value is None else bytes(letter.value)
    envelope, problem = _read(value)
    message_type = envelope.base_type if envelope is not None else letter.message_type
    serializers = list(_serializers(letter.topic, message_type))
    paths = sensitive_paths(serializers)
    return Payload(
        letter=letter,
        size=len(value or b""),
        body=None if envelope is None else _members(envelope),
        problem=problem,
        is_known=bool(serializers),
        paths=paths,
        secrets=_secrets(envelope, letter, paths),
    )


def text_of(value: Any) -> str:
    """Return bytes as text, what is no UTF-8 escaped."""
    return "" if value is None else bytes(value).decode(errors="backslashreplace")


def hex_of(value: Any) -> str:
    """Return the first bytes as a table: place, hexadecimal digits, characters."""
    some = bytes(value or b"")[:HEX_BYTES]
    return "\n".join(_hex_line(some[start : start + 16], start) for start in range(0, len(some), 16))


def shortened(text: str) -> tuple[str, bool]:
    """Return as much of a text as a page takes, and whether that is not all."""
    return text[:LONGEST_SHOWN], len(text) > LONGEST_SHOWN


def _read(value: bytes | None) -> tuple[Envelope | None, str]:
    if value is None:
        return None, "The message has no value: it is a tombstone, or it could not be serialised."
    if len(value) > LARGEST_READ:
        return None, "The message is too large to be read here."
    try:
        return Envelope.parse_inert(value), ""
    except LogPipeError as error:
        return None, str(error)


def _members(envelope: Envelope) -> dict[str, Any]:
    members = {"type": envelope.type, "version": envelope.version, "message": envelope.message}
    meta = envelope.meta.as_member()
    return {**members, "meta": meta} if meta else members


def _secrets(envelope: Envelope | None, letter: DeadLetter, paths: Paths) -> Secrets:
    if not paths:
        return NO_SECRETS
    found = secrets_in(envelope.message, paths) if envelope is not None else NO_SECRETS
    try:
        kept = json.loads(bytes(letter.payload)).values() if letter.payload is not None else ()
    except (ValueError, AttributeError):
        kept = ()
    return found.union(*(secrets_in(member, paths) for member in kept))


def _serializers(topic: str, message_type: str) -> Iterable[Any]:
    """Yield the project's serializers of a type on a topic: publications' and subscriptions'."""
    for publication in publications:
        if publication.topic == topic and publication.loads:
            yield from (cls for cls in publication.serializer_classes if message_type == cls.MESSAGE_TYPE)
    try:
        routes = MultiConsumer(*declared_consumers()).routes()
    except LogPipeError:  # A project that only publishes has no consumers.
        return
    if topic in routes:
        yield from (r.serializer_class for r in routes[topic] if r.message_type == message_type)


def _as_text(value: Any) -> str:
    return text_of(value) if isinstance(value, bytes) else str(value)


def _hex_line(some: bytes, start: int) -> str:
    characters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
    return f"{start:08x}  {some.hex(' '):<47}  {characters}"


__all__ = ["NO_PATHS", "Payload", "hex_of", "payload_of", "shortened", "text_of"]
