"""Routing: from a record's bytes to the serializer of its type and version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from logpipe_signals.auditing.marks import AUDIT_SUFFIX
from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.audits.mark import is_mark, marked
from logpipe_signals.consuming.incoming import Incoming, Refused, Route
from logpipe_signals.consuming.lookup import Lookup
from logpipe_signals.envelope import Envelope, Meta
from logpipe_signals.exceptions import (
    IgnoredMessageTypeError,
    InvalidMessageError,
    LogPipeMessageError,
    SchemaViolation,
    UnknownMessageTypeError,
    UnknownMessageVersionError,
)
from logpipe_signals.redaction import Paths, sensitive_paths, text_of
from logpipe_signals.registry import (
    DecidesPolicy,
    Policy,
    SerializerClass,
    SubscriptionOptions,
    require_message_rules,
)
from logpipe_signals.schemas.validation import require_accepted, validates

LARGEST_SEQUENCE = 2**63 - 1


class Routes:
    """The serializers of a topic by type and version."""

    def __init__(self, options: SubscriptionOptions | None = None, *, throw_errors: bool = False) -> None:
        self.options = options or SubscriptionOptions()
        self.throw_errors = throw_errors
        self.ignored: set[str] = set()
        self._routes: dict[str, dict[int, Route]] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter([route for versions in self._routes.values() for route in versions.values()])

    def add(self, serializer_class: SerializerClass, options: SubscriptionOptions | None = None) -> None:
        """
        Route a serializer's type and version to it, and the older versions it has an upcaster for.

        Raises:
            DeclarationError: MESSAGE_TYPE or VERSION is missing or wrong.
        """
        cls = require_message_rules(serializer_class, "Consumer.register")
        options, lookup = options or self.options, Lookup.of(cls)
        versions = self._routes.setdefault(cls.MESSAGE_TYPE, {})
        versions[cls.VERSION] = Route(serializer_class=cls, version=cls.VERSION, options=options, lookup=lookup)
        for version, upcast in options.upcast.items():
            route = Route(serializer_class=cls, version=version, options=options, lookup=lookup, upcast=upcast)
            versions.setdefault(version, route)

    def adopt(self, other: Routes) -> None:
        """Take in the routes of another consumer of the same topic; what is known already stays."""
        self.ignored |= other.ignored
        for message_type, versions in other._routes.items():
            known = self._routes.setdefault(message_type, {})
            for version, route in versions.items():
                known.setdefault(version, route)

    def check(self) -> None:
        """
        Find out before the first record what cannot work.

        Raises:
            DeclarationError: A serializer that opts into bulk apply cannot be applied so.
        """
        for route in self:
            _ = route.bulk_plan

    def serializer_classes(self) -> dict[str, dict[int, SerializerClass]]:
        """Return the serializers by type and version, as django-logpipe keeps them."""
        return {
            message_type: {version: route.serializer_class for version, route in versions.items()}
            for message_type, versions in self._routes.items()
        }

    def newest(self, message_type: str) -> Route | None:
        """Return the route of a type's newest version."""
        versions = self._routes.get(message_type)
        return versions[max(versions)] if versions else None

    # --- records ------------------------------------------------------------------------------------------------------

    def decode_all(self, records: Iterable[Record]) -> list[Incoming | Refused]:
        """Return what to apply of each, or why not. Never raises, whatever the bytes are."""
        by_schema = validates("accepted")
        return [self._decode(record, by_schema=by_schema) for record in records]

    def decode(self, record: Record) -> Incoming | Refused:
        """Return what to apply, or why not. Never raises, whatever the bytes are."""
        return self._decode(record, by_schema=validates("accepted"))

    def _decode(self, record: Record, *, by_schema: bool) -> Incoming | Refused:
        try:
            return self._tombstone(record) if record.value is None else self._message(record, by_schema=by_schema)
        except LogPipeMessageError as error:
            return self._refused(record, error)
        except Exception as error:  # noqa: BLE001  (hostile bytes may break anything that reads them)
            wrapped = InvalidMessageError(
                f"The record does not parse: {type(error).__name__}: {text_of(error)}", record
            )
            wrapped.__cause__ = error
            return self._refused(record, wrapped)

    def _refused(self, record: Record, error: LogPipeMessageError) -> Refused:
        described = _described(record)
        versions = self._routes.get(described.get("message_type", ""), {})
        route = versions.get(described.get("version", 0))
        policy = self._policy(error, route.options if route is not None else self.options)
        return Refused(record=record, error=error, policy=policy, sensitive=self._sensitive(), **described)

    def _sensitive(self) -> Paths:
        """Return the sensitive fields of any message of the topic: of which type a bad one is, nobody knows."""
        return sensitive_paths(route.serializer_class for route in self)

    def _policy(self, error: LogPipeMessageError, options: SubscriptionOptions) -> Policy | DecidesPolicy | str:
        if self.throw_errors:
            return "raise"
        if isinstance(error, IgnoredMessageTypeError):
            return "skip"
        if isinstance(error, UnknownMessageTypeError):
            return self.options.on_unknown_type
        if isinstance(error, UnknownMessageVersionError):
            return self.options.on_unknown_version
        return options.on_error

    def _message(self, record: Record, *, by_schema: bool) -> Incoming | Refused:
        try:
            envelope = Envelope.parse(record.value or b"", record.headers)
        except Exception as error:
            raise InvalidMessageError(text_of(error), record) from error
        if envelope.meta.sequence > LARGEST_SEQUENCE:
            raise InvalidMessageError("The sequence does not fit 64 bits.", record)
        if is_mark(envelope.type) and envelope.type not in self._routes:
            return marked(envelope, record, self._audited(envelope))
        route, is_delete = self._route(envelope, record)
        message = _message_body(route, envelope, record, is_delete=is_delete)
        if complaint := route.lookup.complaint(message):
            raise InvalidMessageError(complaint, record)
        if by_schema and not is_delete:
            _require_schema(route, message, record)
        return Incoming(
            record=record,
            route=route,
            message=message,
            is_delete=is_delete,
            meta=envelope.meta,
            headers=envelope.headers,
            policy="raise" if self.throw_errors else route.options.on_error,
        )

    def _route(self, envelope: Envelope, record: Record) -> tuple[Route, bool]:
        is_delete = envelope.is_delete and envelope.type not in self._routes
        message_type = envelope.base_type if is_delete else envelope.type
        if message_type in self.ignored or envelope.type in self.ignored:
            raise IgnoredMessageTypeError(
                f'Received message with ignored type "{envelope.type}" in topic {record.topic}', record
            )
        versions = self._routes.get(message_type)
        if not versions:
            raise UnknownMessageTypeError(
                f'Received message with unknown type "{envelope.type}" in topic {record.topic}', record
            )
        if envelope.version not in versions:
            raise UnknownMessageVersionError(
                f'Received message of type "{envelope.type}" with unknown version "{envelope.version}" '
                f"in topic {record.topic}",
                record,
            )
        route = versions[envelope.version]
        if is_delete and route.lookup.function is None:
            raise UnknownMessageTypeError(
                f'Received "{envelope.type}" in topic {record.topic}, but {route.serializer_class.__name__} has no '
                "lookup_instance that finds the row to delete",
                record,
            )
        return route, is_delete

    def _audited(self, envelope: Envelope) -> Route | None:
        """Return whose rows a mark is compared with: of its very version, where the subscription wants that."""
        route = self._routes.get(envelope.type.removesuffix(AUDIT_SUFFIX), {}).get(envelope.version)
        return route if route is not None and route.options.audit and route.upcast is None else None

    # --- tombstones ---------------------------------------------------------------------------------------------------

    def _tombstone(self, record: Record) -> Incoming:
        """A tombstone names its row by its key, and its type by the identity that it may carry."""
        meta = Meta.from_headers(record.headers)
        if meta.sequence > LARGEST_SEQUENCE:
            raise InvalidMessageError("The sequence does not fit 64 bits.", record)
        routes = self._routes_for_key(meta, record)
        first, *others = routes
        return Incoming(
            record=record,
            route=first,
            message=first.lookup.arguments_for_key(record.key_text) or {},
            is_delete=True,
            meta=meta,
            names_row_by={str(first.lookup.key_field): record.key_text},
            policy="raise" if self.throw_errors else first.options.on_error,
            siblings=tuple(others),
        )

    def _routes_for_key(self, meta: Meta, record: Record) -> list[Route]:
        named = self._type_of(meta.identity)
        if named in self.ignored:
            raise IgnoredMessageTypeError(f'Received a tombstone of ignored type "{named}"', record)
        if named and named not in self._routes:
            raise UnknownMessageTypeError(f'Received a tombstone of unknown type "{named}"', record)
        newest = [self.newest(message_type) for message_type in ([named] if named else self._routes)]
        routes = [r for r in newest if r is not None and r.lookup.arguments_for_key(record.key_text) is not None]
        if not routes or not record.key_text:
            raise InvalidMessageError(
                "The value is null. As a tombstone it needs a key, and a serializer with KEY_FIELD whose "
                "lookup_instance needs no other argument.",
                record,
            )
        return routes

    def _type_of(self, identity: str) -> str:
        """Return the type an identity begins with; a type may have colons of its own."""
        known = [t for t in (*self._routes, *self.ignored) if identity.startswith(f"{t}:")]
        return max(known, key=len, default=identity.partition(":")[0])


def _message_body(route: Route, envelope: Envelope, record: Record, *, is_delete: bool) -> Mapping[str, Any]:
    upcast = None if is_delete else route.upcast
    message = upcast(envelope.message) if upcast is not None else envelope.message
    if not isinstance(message, Mapping):
        raise InvalidMessageError(f'The "message" is a {type(message).__name__}, not an object.', record)
    if set(map(type, message)) - {str}:
        raise InvalidMessageError('The "message" has members whose names are no text.', record)
    return message


def _require_schema(route: Route, message: Mapping[str, Any], record: Record) -> None:
    try:
        require_accepted(route.serializer_class, message)
    except SchemaViolation as error:
        raise InvalidMessageError(str(error), record) from error


def _described(record: Record) -> dict[str, Any]:
    """Return what can be said of a record that was refused, for its dead letter."""
    try:
        meta = Meta.from_headers(record.headers)
        envelope = Envelope.parse(record.value, record.headers) if record.value is not None else None
    except Exception:  # noqa: BLE001  (see decode)
        return {}
    if envelope is None:
        return {"meta": meta, "identity": meta.identity}
    return {
        "meta": envelope.meta,
        "identity": envelope.meta.identity,
        "message_type": envelope.base_type,
        "version": envelope.version,
    }
