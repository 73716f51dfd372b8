"""What was published, and assertions about it whose failures name the fields that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from logpipe_signals.backend.base import Message, Record
from logpipe_signals.envelope import Envelope, Meta

ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class PublishedMessage:
    """
    One message as it left, and what it means.

    key:       The message key.
    type:      Of a delete with `.deleted` behind it; "" of a tombstone.
    message:   The body's `message`, as a reader gets it: text, numbers, lists, None; None of a tombstone.
    headers:   The further headers, as texts, without those of the relay.
    identity:  Which row it is about, as the relay writes it; so are operation, source and sequence.
    raw:       The message itself.
    """

    topic: str
    key: str
    type: str
    version: int
    message: Any
    headers: Mapping[str, str]
    identity: str
    operation: str
    source: str
    sequence: int
    raw: Message = field(repr=False)

    @classmethod
    def of(cls, raw: Message) -> PublishedMessage:
        """Read a message as its consumer would."""
        if raw.value is None:
            kind, version, body, meta = "", 0, None, Meta.from_headers(raw.headers)
        else:
            envelope = Envelope.parse(raw.value, raw.headers)
            kind, version, body, meta = envelope.type, envelope.version, envelope.message, envelope.meta
        own = {name for name, _ in meta.as_headers()}
        return cls(
            topic=raw.topic,
            key=raw.key or "",
            type=kind,
            version=version,
            message=body,
            headers={name: value.decode(errors="replace") for name, value in raw.headers if name not in own},
            identity=meta.identity,
            operation=meta.operation,
            source=meta.source,
            sequence=meta.sequence,
            raw=raw,
        )

    @property
    def is_delete(self) -> bool:
        """Tell whether it says that its row is gone."""
        return self.operation in ("delete", "retract") or self.raw.value is None

    def as_record(self, *, partition: str = "0", offset: int = 0, timestamp: float = 0.0) -> Record:
        """Return what a consumer would read of it."""
        key = self.raw.key.encode() if self.raw.key else None
        return Record(self.topic, partition, offset, timestamp, key, self.raw.value, self.raw.headers)

    def __str__(self) -> str:
        what = f"{self.type!r} version {self.version}" if self.type else "a tombstone"
        return f"{what} on {self.topic!r}, key {self.key!r}: {_shown(self.message)}"


class Published(Sequence[PublishedMessage]):
    """
    Messages in the order in which they left.

    Filters, of `of` and of each assertion: `topic`, `type`, `version`, `key`, `identity`, `deleted` (True or False).
    Expectations: `message` (all of it) or `fields` (some of it); a value may be anything that compares equal, such as
    `unittest.mock.ANY`.
    """

    def __init__(self, messages: Sequence[PublishedMessage] = ()) -> None:
        self._messages = list(messages)
        self.errors: list[Exception] = []
        """Why rows have no message, where the capture was told not to raise."""

    def __getitem__(self, index: Any) -> Any:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[PublishedMessage]:
        return iter(self._messages)

    def __repr__(self) -> str:
        return f"<Published {len(self)}: {[message.type or 'tombstone' for message in self]}>"

    def add(self, message: PublishedMessage) -> None:
        """Take in one more."""
        self._messages.append(message)

    def clear(self) -> None:
        """Forget what was published so far."""
        self._messages.clear()
        self.errors.clear()

    def of(self, **filters: Any) -> Published:
        """Return those that the filters let through."""
        return Published([message for message in self if _passes(message, filters)])

    # --- assertions -------------------------------------------------------------------------------------------------

    def assert_one(
        self, *, message: Any = ABSENT, fields: Mapping[str, Any] | None = None, **filters: Any
    ) -> PublishedMessage:
        """
        Return the one message that passes the filters, after holding it to the expectation.

        Raises:
            AssertionError: None, or several, pass; or it differs, and the text names the fields.
        """
        found = self.of(**filters)
        if len(found) != 1:
            self._fail(f"Expected one message{_named(filters)}, and {_counted(len(found))} published.")
        only: PublishedMessage = found[0]
        if differences := _differences(only.message, message, fields):
            self._fail("\n".join([f"The message is another one: {only}", *differences]))
        return only

    def assert_any(
        self, *, message: Any = ABSENT, fields: Mapping[str, Any] | None = None, **filters: Any
    ) -> PublishedMessage:
        """
        Return the first message that passes the filters and is as expected.

        Raises:
            AssertionError: There is none; the text compares the nearest one.
        """
        candidates = self.of(**filters)
        compared = [(_differences(each.message, message, fields), each) for each in candidates]
        for differences, each in compared:
            if not differences:
                return each
        if not compared:
            self._fail(f"Expected a message{_named(filters)}, and none was published.")
        differences, nearest = min(compared, key=lambda pair: len(pair[0]))
        text = "\n".join([f"No message is as expected. The nearest one: {nearest}", *differences])
        return self._fail(text)

    def assert_none(self, **filters: Any) -> None:
        """
        Find that nothing passes the filters.

        Raises:
            AssertionError: Something does.
        """
        if found := self.of(**filters):
            self._fail(f"Expected no message{_named(filters)}, and {_counted(len(found))} published.")

    def assert_count(self, count: int, **filters: Any) -> Published:
        """
        Return what passes the filters, after counting it.

        Raises:
            AssertionError: It is another number.
        """
        found = self.of(**filters)
        if len(found) != count:
            self._fail(f"Expected {count} messages{_named(filters)}, and {_counted(len(found))} published.")
        return found

    def _fail(self, text: str) -> NoReturn:
        everything = [f"  {number}. {message}" for number, message in enumerate(self, 1)] or ["  nothing"]
        raise AssertionError("\n".join([text, "Published, in order:", *everything]))


def _passes(message: PublishedMessage, filters: Mapping[str, Any]) -> bool:
    allowed = ("topic", "type", "version", "key", "identity", "deleted")
    if unknown := sorted(filters.keys() - set(allowed)):
        raise TypeError(f"There is no filter {unknown[0]!r}. There are: {', '.join(allowed)}, message and fields.")
    return all(
        (message.is_delete if name == "deleted" else getattr(message, name)) == wanted
        for name, wanted in filters.items()
    )


def _differences(found: Any, whole: Any, some: Mapping[str, Any] | None) -> list[str]:
    if whole is not ABSENT:
        return list(_compared("", found, whole))
    return [] if some is None else list(_compared("", found, some, partly=True))


def _compared(path: str, found: Any, expected: Any, *, partly: bool = False) -> Iterator[str]:
    if not isinstance(found, Mapping) or not isinstance(expected, Mapping):
        if found != expected:
            yield f"  {path or 'message'}: expected {_shown(expected)}, was {_shown(found)}"
        return
    for name, value in expected.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in found:
            yield f"  {where}: expected {_shown(value)}, is not there"
        else:
            yield from _compared(where, found[name], value)
    for name in found.keys() - expected.keys() if not partly else ():
        yield f"  {f'{path}.{name}' if path else name}: is there with {_shown(found[name])}, and was not expected"


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return repr(value)


def _named(filters: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{name}={value!r}' for name, value in filters.items())}" if filters else ""


def _counted(count: int) -> str:
    return {0: "none was", 1: "one was"}.get(count, f"{count} were")
