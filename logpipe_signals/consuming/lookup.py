"""Finding the row that a message is about: through `lookup_instance`, whose arguments are checked first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from logpipe_signals.registry import SerializerClass

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """
    A serializer's `lookup_instance` and what it asks for.

    function: None where the serializer has none: every message is then a new object to it.
    names:    Its named parameters.
    required: Those without a default.
    takes_all: Whether it takes any further member of the message.
    """

    function: Callable[..., Any] | None = None
    names: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    takes_all: bool = False
    key_field: str | None = None

    @classmethod
    def of(cls, serializer_class: SerializerClass) -> Lookup:
        """Read what a serializer's lookup asks for."""
        key_field = getattr(serializer_class, "KEY_FIELD", None)
        function = getattr(serializer_class, "lookup_instance", None)
        if function is None:
            return cls(key_field=key_field)
        parameters = list(inspect.signature(function).parameters.values())
        named = [p for p in parameters if p.kind in NAMED]
        return cls(
            function=function,
            names=tuple(p.name for p in named),
            required=frozenset(p.name for p in named if p.default is p.empty),
            takes_all=any(p.kind is p.VAR_KEYWORD for p in parameters),
            key_field=key_field,
        )

    def complaint(self, message: Mapping[str, Any]) -> str:
        """Say why the lookup cannot be called with this message; empty if it can."""
        if self.function is None:
            return ""
        if missing := self.required - message.keys():
            return f"lookup_instance needs {', '.join(sorted(missing))}, which the message does not have."
        foreign = () if self.takes_all else sorted(str(name) for name in message.keys() - set(self.names))
        if foreign:
            return f"lookup_instance takes no {', '.join(foreign)}. Give it **kwargs for what it does not need."
        return ""

    def values(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of a message by which its row is found."""
        names = self.names or ((self.key_field,) if self.key_field else ())
        return {name: message[name] for name in names if name in message}

    def find(self, message: Mapping[str, Any]) -> Any:
        """Return the row a message is about, or None."""
        return self.function(**message) if self.function is not None else None

    def arguments_for_key(self, key: str) -> dict[str, Any] | None:
        """Return the message by which a key finds its row; None where the key is not enough."""
        if not self.key_field or self.function is None:
            return None
        message = {self.key_field: key}
        return None if self.complaint(message) else message
