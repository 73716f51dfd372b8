"""
The fields of a serializer class, made once and lent to one serializer after the other.

DRF makes the fields of a ModelSerializer anew for each serializer, which takes several times as long as it takes to
validate a message, and asks the database for each unique field of each message. Here each record still has a
serializer of its own, and what is unique is asked for all records of a batch at once. A class that has a say in how
its fields are made, or in how it is made itself, is left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from rest_framework import serializers
from rest_framework.utils.serializer_helpers import BindingDict
from rest_framework.validators import UniqueValidator

from logpipe_signals.consuming.incoming import Incoming
from logpipe_signals.consuming.surrogates import NoSurrogates
from logpipe_signals.consuming.unique import AskedTogether
from logpipe_signals.registry import SerializerClass

MAKING = ("__new__", "__init__", "fields", "validators", "_read_only_defaults")


class KeptFields:
    """One class's fields."""

    def __init__(self, serializer_class: SerializerClass) -> None:
        first = serializer_class()
        self._fields = first.fields.fields
        self._validators = first.validators
        self._unique: list[AskedTogether] = []
        for field in self._fields.values():
            field.validators = [self._taken_over(field, validator) for validator in field.validators]
        self._as_made = [(field, vars(field).copy()) for field in self._fields.values()]

    def lend(self, serializer: serializers.Serializer) -> None:
        """Give them to a new serializer; the one that had them before needs them no more."""
        for field, as_made in self._as_made:
            vars(field).update(as_made)  # user code may have changed it, for the message of before
            field.parent = serializer
        own = BindingDict(serializer)
        own.fields = self._fields.copy()
        vars(serializer)["fields"] = own
        serializer.validators = self._validators

    @contextmanager
    def asked(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        """Know, while the block runs, who has the unique values of these messages."""
        try:
            for unique in self._unique:
                unique.ask(messages)
            yield
        finally:
            for unique in self._unique:
                unique.forget()

    def _taken_over(self, field: serializers.Field, validator: Any) -> Any:
        if not (type(validator) is UniqueValidator and AskedTogether.can_replace(field, validator)):
            return NoSurrogates.instead_of(validator)
        self._unique.append(AskedTogether(field, validator))
        return self._unique[-1]


class _Kept(threading.local):
    def __init__(self) -> None:
        self.by_class: dict[SerializerClass, KeptFields] = {}


_kept = _Kept()


def kept_fields(serializer_class: SerializerClass) -> KeptFields | None:
    """Return this thread's fields of a class, or None where it has a say in them."""
    if not _makes_fields_as_usual(serializer_class):  # type: ignore[arg-type]  # a class is hashable
        return None
    if serializer_class not in _kept.by_class:
        _kept.by_class[serializer_class] = KeptFields(serializer_class)
    return _kept.by_class[serializer_class]


@contextmanager
def asked_together(run: Sequence[Incoming]) -> Iterator[None]:
    """Ask once, for all records of a run, what their serializers would ask for each."""
    by_class: dict[SerializerClass, list[Mapping[str, Any]]] = {}
    for each in run if len(run) > 1 else ():
        if not each.is_delete:
            by_class.setdefault(each.route.serializer_class, []).append(each.message)
    with ExitStack() as stack:
        for serializer_class, messages in by_class.items():
            if (kept := kept_fields(serializer_class)) is not None:
                stack.enter_context(kept.asked(messages))
        yield


@cache
def _makes_fields_as_usual(serializer_class: SerializerClass) -> bool:
    usual = serializers.ModelSerializer
    if not (isinstance(serializer_class, type) and issubclass(serializer_class, usual)):
        return False
    names = {name for name in dir(usual) if name.startswith(("get_", "build_", "include_"))} | {*MAKING}
    return all(getattr(serializer_class, name, None) is getattr(usual, name, None) for name in names)
