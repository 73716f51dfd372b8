"""
What changed between two shapes, and whom it breaks, in the words of Confluent's Schema Registry.

    BACKWARD   who reads by the new schema can read what was written by the last one
    FORWARD    who reads by the last schema can read what is written by the new one
    FULL       both
    ..._TRANSITIVE  the same against every earlier version, not the last one alone
    NONE       nothing is promised

https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html

A writer sends the members it names and no others. A reader passes over members it does not know, as DRF's serializers
do, and need not have what the publisher declares optional.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from logpipe_signals.schemas.containment import Problem, joined, problems, resolved, types_of
from logpipe_signals.schemas.shapes import Direction, Schema, closed, opened

WHAT_IT_IS = ("type", "enum", "anyOf", "$ref")
TOLD_ELSEWHERE = frozenset({"properties", "required", "x-optional", "$defs", *WHAT_IT_IS})
DEEPEST = 20
"""Levels down which differences are looked for: a recursive schema has no end."""


class Compatibility(StrEnum):
    """Confluent's names. The first four are verdicts, all of them can be asked for."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    FULL = "FULL"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def is_transitive(self) -> bool:
        """Tell whether all earlier versions count, not the last one alone."""
        return self.name.endswith("_TRANSITIVE")

    def allows(self, verdict: Compatibility) -> bool:
        """Tell whether two schemas of this verdict (one of the first four) are as compatible as is asked here."""
        wanted = self.removesuffix("_TRANSITIVE")
        return wanted in ("NONE", verdict) or verdict is Compatibility.FULL


@dataclass(frozen=True, kw_only=True)
class Change:
    """
    One change of one field.

    backward: Why a reader by the new schema cannot read what was written by the old one; "" if it can.
    forward:  Why a reader by the old schema cannot read what is written by the new one; "" if it can.
    """

    path: str
    text: str
    backward: str = ""
    forward: str = ""

    @property
    def compatibility(self) -> Compatibility:
        """Return what this change leaves."""
        return verdict(backward=not self.backward, forward=not self.forward)

    def __str__(self) -> str:
        reasons = [
            f"{name} broken: {reason}"
            for name, reason in (("BACKWARD", self.backward), ("FORWARD", self.forward))
            if reason
        ]
        where = f"field {self.path!r}" if self.path else "the message"
        return f"{where} {self.text} ({'; '.join(reasons) or 'FULL'})"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What changed from an old shape to a new one."""

    changes: tuple[Change, ...] = ()

    @property
    def compatibility(self) -> Compatibility:
        """Return the verdict over all changes."""
        return verdict(
            backward=not any(change.backward for change in self.changes),
            forward=not any(change.forward for change in self.changes),
        )


def verdict(*, backward: bool, forward: bool) -> Compatibility:
    """Return the name of what holds."""
    if backward and forward:
        return Compatibility.FULL
    if backward:
        return Compatibility.BACKWARD
    return Compatibility.FORWARD if forward else Compatibility.NONE


def compare(old: Schema, new: Schema, direction: Direction = "sent") -> Comparison:
    """
    Return what changed between two shapes of one type, and whom it breaks.

    Args:
        direction: "sent": both say what is written, and readers are made like them. "accepted": both say what is read,
            and writers are made like them.
    """
    if old == new:
        return Comparison()
    changed = list(_differences("", old, new, (old, new)))
    backward = _by_place(problems(_writer(old, direction), _reader(new, direction)))
    forward = _by_place(problems(_writer(new, direction), _reader(old, direction)))
    if not (changed or backward or forward):
        return Comparison(changes=(Change(path="", text="is written in another way that means the same"),))
    changes = sorted(_attributed(changed, backward, forward), key=lambda change: change.path)
    return Comparison(changes=tuple(changes))


def _writer(schema: Schema, direction: Direction) -> Schema:
    found: Schema = schema if direction == "sent" else closed(schema)
    return found


def _reader(schema: Schema, direction: Direction) -> Schema:
    found: Schema = opened(schema) if direction == "sent" else schema
    return found


# --- which change breaks what -----------------------------------------------------------------------------------------

Place = tuple[str, str]
"""A path and a keyword."""


def _by_place(found: Sequence[Problem]) -> dict[Place, str]:
    places: dict[Place, str] = {}
    for problem in found:
        place = (problem.path, _group(problem.keyword))
        places[place] = f"{places[place]}, {problem.text}" if place in places else problem.text
    return places


def _attributed(
    changed: Sequence[tuple[Place, str]], backward: dict[Place, str], forward: dict[Place, str]
) -> Iterator[Change]:
    """Say of each change what it breaks; what is broken without a change of its own place stands alone."""
    for (path, keyword), text in changed:
        place = (path, keyword)
        yield Change(path=path, text=text, backward=backward.pop(place, ""), forward=forward.pop(place, ""))
    for place in sorted(backward.keys() | forward.keys()):
        path, keyword = place
        text = f"changed its {keyword}"
        yield Change(path=path, text=text, backward=backward.pop(place, ""), forward=forward.pop(place, ""))


def _group(keyword: str) -> str:
    """Keywords that say one thing together are one place."""
    if keyword in WHAT_IT_IS:
        return "type"
    for name in ("minimum", "maximum"):
        if keyword.lower().endswith(name):
            return name
    return keyword


# --- what is different ------------------------------------------------------------------------------------------------


def _differences(
    path: str, old: Any, new: Any, roots: tuple[Schema, Schema], depth: int = 0
) -> Iterator[tuple[Place, str]]:
    old, new = _followed(old, roots[0]), _followed(new, roots[1])
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        if old != new:
            yield (path, "type"), f"was {_shown(old)}, is {_shown(new)}"
        return
    if depth > DEEPEST:
        return
    yield from _presence(path, old, new)
    yield from _keywords(path, old, new)
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before.keys() & after.keys()):
        yield from _differences(joined(path, name), before[name], after[name], roots, depth + 1)
    if len(old.get("anyOf", ())) == len(new.get("anyOf", ())):
        for one, other in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=True):
            yield from _differences(path, one, other, roots, depth + 1)
    for key, inner_path in (("items", f"{path}[]"), ("additionalProperties", joined(path, "*"))):
        if _is_looked_into(key, old, new):
            yield from _differences(inner_path, old[key], new[key], roots, depth + 1)


def _followed(schema: Any, root: Schema) -> Any:
    return resolved(schema, root) if isinstance(schema, Mapping) and "$ref" in schema else schema


def _presence(path: str, old: Schema, new: Schema) -> Iterator[tuple[Place, str]]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before.keys() | after.keys()):
        place = (joined(path, name), "presence")
        if name not in before:
            yield place, f"was added, {_need(new, name)}"
        elif name not in after:
            yield place, f"was removed; it was {_need(old, name)}"
        elif _need(old, name) != _need(new, name):
            yield place, f"was {_need(old, name)}, is {_need(new, name)}"


def _need(schema: Schema, name: str) -> str:
    required = name in schema.get("required", ()) and name not in schema.get("x-optional", ())
    return "required" if required else "optional"


def _keywords(path: str, old: Schema, new: Schema) -> Iterator[tuple[Place, str]]:
    if _kind(old) != _kind(new):
        yield (path, "type"), _type_change(old, new)
    limits: dict[str, tuple[str, str]] = {}
    for key in sorted(old.keys() | new.keys()):
        if key in TOLD_ELSEWHERE or old.get(key) == new.get(key) or _is_looked_into(key, old, new):
            continue
        name = _group(key)
        was, now = limits.get(name, ("", ""))
        limits[name] = (_limit(old, key, was), _limit(new, key, now))
    for name, (was, now) in sorted(limits.items()):
        yield (path, name), f"had {name} {was or 'nothing'}, has {now or 'nothing'}"


def _is_looked_into(key: str, old: Schema, new: Schema) -> bool:
    both = isinstance(old.get(key), Mapping) and isinstance(new.get(key), Mapping)
    return both and key in ("items", "additionalProperties")


def _limit(schema: Schema, key: str, so_far: str) -> str:
    if key not in schema:
        return so_far
    shown = f"beyond {schema[key]}" if key.startswith("exclusive") else _shown(schema[key])
    return f"{so_far} {shown}".strip()


def _type_change(old: Schema, new: Schema) -> str:
    if "enum" in old and "enum" in new:
        lost, gained = _values_beside(old, new), _values_beside(new, old)
        parts = [f"lost the value {lost}"] * bool(lost) + [f"gained the value {gained}"] * bool(gained)
        return " and ".join(parts)
    return f"was {_kind(old)}, is {_kind(new)}"


def _values_beside(schema: Schema, other: Schema) -> str:
    known = {json.dumps(value) for value in other["enum"]}
    return ", ".join(text for text in map(json.dumps, schema["enum"]) if text not in known)


def _kind(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(sorted({_kind(one) if isinstance(one, Mapping) else _shown(one) for one in schema["anyOf"]}))
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return " or ".join(sorted(types_of(schema), key=lambda name: (name == "null", name))) if "type" in schema else "any"


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
