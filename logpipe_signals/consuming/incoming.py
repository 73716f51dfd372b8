"""What a record turns out to be: something to apply, or a reason why not."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.bulk_plan import opts_in, plan_for
from logpipe_signals.consuming.lookup import Lookup
from logpipe_signals.envelope import Envelope, Meta
from logpipe_signals.redaction import NO_PATHS, NO_SECRETS, Paths, Secrets, secrets_in, sensitive_paths
from logpipe_signals.registry import (
    POLICIES,
    DecidesPolicy,
    Policy,
    SerializerClass,
    SubscriptionOptions,
    load_callable,
)

logger = logging.getLogger(__name__)

LONGEST_IDENTITY = 255
_encoder = json.JSONEncoder(sort_keys=True, default=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """
    Where the messages of one type and version go.

    `version` is the one on the wire; with `upcast` it is older than the serializer's.
    """

    serializer_class: SerializerClass
    version: int
    options: SubscriptionOptions
    lookup: Lookup
    upcast: Any = None

    @property
    def bulk_plan(self) -> Any:
        """Return how its records are applied set-wise; None: one by one."""
        if not opts_in(self.serializer_class, bulk=self.options.bulk):
            return None
        return plan_for(self.serializer_class)  # type: ignore[arg-type]  # a class is hashable

    @property
    def message_type(self) -> str:
        """Return the serializer's type."""
        return str(self.serializer_class.MESSAGE_TYPE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """A record that has a serializer. `policy` says what happens when it cannot be applied."""

    record: Record
    route: Route
    message: Mapping[str, Any]
    is_delete: bool
    meta: Meta
    policy: Policy | DecidesPolicy | str = "dead_letter"
    names_row_by: Mapping[str, Any] | None = None
    """Where the message carries no identity: what stands for it, if not the lookup's members of the message."""
    siblings: tuple[Route, ...] = ()
    """Other types that a tombstone without identity may be about."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers that the body held, on a log without any."""

    @property
    def identity(self) -> str:
        """Return which row this is about: worked out where it is asked for, which is not for every record."""
        if self.meta.identity:
            return self.meta.identity
        values = self.route.lookup.values(self.message) if self.names_row_by is None else self.names_row_by
        return identity_of(self.route.message_type, values)

    @property
    def parks(self) -> bool:
        """Tell whether it waits behind a failed record of its identity: as the subscription, else the message says."""
        park = self.route.options.park
        return self.meta.payload == "change" if park is None else park


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A record that cannot be applied, and why."""

    record: Record
    error: Exception
    policy: Policy | DecidesPolicy | str
    route: Route | None = None
    meta: Meta = field(default_factory=Meta)
    identity: str = ""
    message_type: str = ""
    version: int | None = None
    message: Mapping[str, Any] | None = None
    """What was routed; it may be newer than what the bytes hold."""
    sensitive: Paths = NO_PATHS

    def __post_init__(self) -> None:
        # Decided once: a function of the project may decide otherwise the next time.
        if self.policy not in POLICIES:
            object.__setattr__(self, "policy", decided(self.policy, self.record, self.error))

    def secrets(self) -> Secrets:
        """Return the sensitive values that the error may quote."""
        if not self.sensitive:
            return NO_SECRETS
        return secrets_in(self.message, self.sensitive) | secrets_of(self.record, self.sensitive)

    @classmethod
    def of(cls, incoming: Incoming, error: Exception) -> Refused:
        """Say that a routed record could not be applied."""
        return cls(
            record=incoming.record,
            error=error,
            policy=incoming.policy,
            route=incoming.route,
            meta=incoming.meta,
            identity=incoming.identity,
            message_type=incoming.route.message_type,
            version=incoming.route.version,
            message=incoming.message,
            sensitive=sensitive_paths([incoming.route.serializer_class]),
        )


def decided(policy: Any, record: Record, error: Exception) -> Policy:
    """Ask the project's own function what happens to a record; one that fails keeps it as a dead letter."""
    try:
        function: Any = load_callable(policy, "on_error")
        found: Policy = function(record, error)
    except Exception as failure:  # noqa: BLE001  (a function of the project may raise anything)
        logger.error("on_error=%r raised %s; the record is kept as a dead letter.", policy, type(failure).__name__)
        return "dead_letter"
    if found in POLICIES:
        return found
    logger.error("on_error=%r gave something that is no policy; the record is kept as a dead letter.", policy)
    return "dead_letter"


def secrets_of(record: Record, sensitive: Paths) -> Secrets:
    """Return the sensitive values that a record's bytes hold, as far as these can be read; a pickle never is."""
    try:
        return secrets_in(Envelope.parse_inert(record.value or b"").message, sensitive)
    except Exception:  # noqa: BLE001  (hostile bytes may break anything that reads them)
        return NO_SECRETS


def identity_of(message_type: str, lookup_values: Mapping[str, Any]) -> str:
    """Return the identity of a message that carries none: its type and its lookup fields."""
    return f"{message_type}:{_encoder.encode(lookup_values)}" if lookup_values else ""


def storable(text: str) -> str:
    """Return text that every database takes: no NUL, no lone surrogate."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def stored_identity(identity: str) -> str:
    """Return an identity that fits its column; a long one keeps its beginning and a hash of the whole."""
    text = storable(identity)
    if len(text) <= LONGEST_IDENTITY:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{text[: LONGEST_IDENTITY - 33]}#{digest}"
