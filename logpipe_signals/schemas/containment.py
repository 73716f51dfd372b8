"""
Containment: whether every message that a writer's schema allows is one that a reader's schema takes.

Sound, not complete: what is called contained is contained, which the tests try with made-up schemas and messages. What
cannot be told (a pattern that differs, `not`, `if`) counts as not contained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from logpipe_signals.schemas.shapes import Schema

ANYTHING: Schema = {}
ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
UNDERSTOOD = frozenset(
    {"$ref", "$defs", "type", "enum", "anyOf", "properties", "required", "additionalProperties", "items", "x-optional"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "format"}
    | {"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
)
"""Keywords whose meaning is compared; of all others only their text is."""
COUNTS = {
    "string": (("minLength", "maxLength"), "characters"),
    "array": (("minItems", "maxItems"), "items"),
    "object": (("minProperties", "maxProperties"), "members"),
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """
    Why a reader does not take all that a writer may send.

    path:    The field, `address.street`; `tags[]` is an item, `labels.*` a member of any name, "" the message.
    keyword: The rule of JSON Schema that is broken, or `presence`.
    text:    What the writer may do, and what the reader asks for.
    """

    path: str
    keyword: str
    text: str


def problems(writer: Schema, reader: Schema) -> list[Problem]:
    """Return why the reader does not take all that the writer may send; nothing where it does."""
    return [] if writer == reader else list(_Comparison(writer, reader).at("", writer, reader))


@dataclass
class _Comparison:
    """One pair of whole schemas, whose `$ref` are looked up in their own `$defs`."""

    writer: Schema
    reader: Schema
    _open: set[tuple[str, str]] = field(default_factory=set)
    """Pairs being compared further up: a recursive schema is contained if nothing on the way says otherwise."""

    def at(self, path: str, writer: Any, reader: Any) -> Iterator[Problem]:
        if reader is True or reader == ANYTHING or writer is False:
            return
        if reader is False:
            yield Problem(path=path, keyword="presence", text="it may be sent, and is not taken")
            return
        writer = ANYTHING if writer is True else writer
        if "$ref" in writer or "$ref" in reader:
            yield from self._references(path, writer, reader)
            return
        if unknown := self._not_understood(writer, reader):
            yield Problem(path=path, keyword=unknown, text=f"{unknown!r} cannot be compared, and differs")
        elif "enum" in writer:
            yield from self._values(path, writer, reader)
        elif "anyOf" in writer or "anyOf" in reader:
            yield from self._alternatives(path, writer, reader)
        else:
            yield from self._alike(path, writer, reader)

    # --- schemas of several parts -----------------------------------------------------------------------------------

    def _references(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        pair = (json.dumps(writer, sort_keys=True), json.dumps(reader, sort_keys=True))
        if pair in self._open:
            return
        self._open.add(pair)
        try:
            yield from self.at(path, resolved(writer, self.writer), resolved(reader, self.reader))
        finally:
            self._open.discard(pair)

    def _not_understood(self, writer: Schema, reader: Schema) -> str:
        unknown = sorted(reader.keys() - UNDERSTOOD)
        return next((name for name in unknown if not _is_same(name, writer.get(name), reader[name])), "")

    def _values(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        allowed = [value for value in writer["enum"] if is_valid(value, writer, self.writer)]
        refused = [value for value in allowed if not is_valid(value, reader, self.reader)]
        if refused:
            yield Problem(path=path, keyword="enum", text=f"{_listed(refused)} may be sent, and is not taken")

    def _alternatives(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        """Each thing the writer may send has to fit one of the reader's alternatives as a whole."""
        rest_of_reader = {key: value for key, value in reader.items() if key != "anyOf"}
        for wrote in _split(writer):
            yield from self.at(path, wrote, rest_of_reader)
            choices = reader.get("anyOf", [ANYTHING])
            tried = [list(self.at(path, wrote, one)) for one in choices]
            if all(tried):
                yield from self._nearest(path, tried, wrote)

    def _nearest(self, path: str, tried: list[list[Problem]], wrote: Schema) -> Iterator[Problem]:
        """Say what is wrong with the alternative that fits best, if one has the right type."""
        right_type = [found for found in tried if all((each.path, each.keyword) != (path, "type") for each in found)]
        if right_type:
            yield from min(right_type, key=len)
        else:
            yield Problem(path=path, keyword="type", text=f"{_named_types(wrote)} may be sent, and is not taken")

    # --- one schema against one -------------------------------------------------------------------------------------

    def _alike(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        types = types_of(writer)
        foreign = [name for name in sorted(types) if not _takes(types_of(reader), name)]
        if foreign:
            yield Problem(path=path, keyword="type", text=f"{_joined(foreign)} may be sent, and is not taken")
        if "enum" in reader:
            yield Problem(path=path, keyword="enum", text=f"others than {_listed(reader['enum'])} may be sent")
        common = types - set(foreign)
        if common & {"integer", "number"}:
            yield from _numbers(path, writer, reader, whole="number" not in types)
        for name in sorted(common & COUNTS.keys()):
            yield from _counts(path, writer, reader, *COUNTS[name])
        if "string" in common:
            yield from _texts(path, writer, reader)
        if "array" in common:
            yield from self._arrays(path, writer, reader)
        if "object" in common:
            yield from self._objects(path, writer, reader)

    def _arrays(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        if reader.get("uniqueItems") and not writer.get("uniqueItems"):
            yield Problem(path=path, keyword="uniqueItems", text="an item may be repeated, and is not taken")
        yield from self.at(f"{path}[]", writer.get("items", True), reader.get("items", True))

    def _objects(self, path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
        written, wanted = writer.get("properties", {}), reader.get("properties", {})
        # What a pattern allows is no additional property.
        others_written = "patternProperties" in writer or writer.get("additionalProperties", True)
        others_wanted = reader.get("additionalProperties", True)
        for name in sorted(set(reader.get("required", ())) - set(writer.get("required", ()))):
            may = "it may be left out" if name in written else "it is not sent"
            yield Problem(path=joined(path, name), keyword="presence", text=f"{may}, and is required")
        for name in sorted(written):
            yield from self._member(joined(path, name), written[name], wanted.get(name, others_wanted))
        for name in sorted(wanted.keys() - written.keys()):
            if others_written is not False:
                yield from self._member(joined(path, name), others_written, wanted[name])
        if others_written is not False:
            yield from self._others(joined(path, "*"), others_written, others_wanted)

    def _member(self, path: str, written: Any, wanted: Any) -> Iterator[Problem]:
        if wanted is False and written is not False:
            yield Problem(path=path, keyword="presence", text="it may be sent, and is not taken")
        else:
            yield from self.at(path, written, wanted)

    def _others(self, path: str, written: Any, wanted: Any) -> Iterator[Problem]:
        if wanted is False:
            text = "members of any name may be sent, and are not taken"
            yield Problem(path=path, keyword="additionalProperties", text=text)
        else:
            yield from self.at(path, written, wanted)


def _is_same(keyword: str, written: Any, wanted: Any) -> bool:
    """Tell whether a keyword that is not looked into says the same on both sides, wherever it stands."""
    return written == wanted and not keyword.startswith("unevaluated") and "$ref" not in json.dumps(wanted)


# --- types ------------------------------------------------------------------------------------------------------------


def types_of(schema: Schema) -> frozenset[str]:
    """Return the types a schema allows by name; all of them where it names none."""
    named = schema.get("type")
    if named is None:
        return ALL_TYPES - {"integer"}
    return frozenset([named] if isinstance(named, str) else named)


def _takes(taken: frozenset[str], name: str) -> bool:
    return name in taken or (name == "integer" and "number" in taken)


def _split(schema: Schema) -> list[Schema]:
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if "anyOf" not in schema:
        return [rest]
    if not rest.keys() - {"$defs"}:
        return list(schema["anyOf"])
    # What stands beside the alternatives narrows each of them; to leave that out allows the writer more, not less.
    return [{**rest, **one} if not rest.keys() & one.keys() else one for one in schema["anyOf"]]


def _named_types(schema: Any) -> str:
    return _joined(sorted(types_of(schema))) if isinstance(schema, Mapping) and "type" in schema else "something else"


# --- limits -----------------------------------------------------------------------------------------------------------


def _numbers(path: str, writer: Schema, reader: Schema, *, whole: bool) -> Iterator[Problem]:
    for inclusive, sign in (("minimum", 1), ("maximum", -1)):
        exclusive = "exclusive" + inclusive.title()
        wanted = _limit(reader, inclusive, exclusive, sign, whole=whole)
        if wanted is not None:
            written = _limit(writer, inclusive, exclusive, sign, whole=whole)
            if written is None or written < wanted:
                keyword = exclusive if exclusive in reader else inclusive
                compared = (
                    f"{_shown(writer, inclusive, exclusive)}, and {_shown(reader, inclusive, exclusive)} is taken"
                )
                yield Problem(path=path, keyword=keyword, text=f"the {inclusive} sent is {compared}")
    step = reader.get("multipleOf")
    if step is not None:
        # A number of no step may still be whole, and whole numbers have the step 1.
        sent = writer.get("multipleOf", 1 if whole else None)
        if sent is None or Fraction(str(sent)) % Fraction(str(step)) != 0:
            yield Problem(path=path, keyword="multipleOf", text=f"others than multiples of {step} may be sent")


def _limit(schema: Schema, inclusive: str, exclusive: str, sign: int, *, whole: bool) -> tuple[Fraction, bool] | None:
    """Return the tighter of two limits as something that grows with tightness: (value, whether it is exclusive)."""
    found = [
        (sign * Fraction(str(schema[keyword])), keyword == exclusive)
        for keyword in (inclusive, exclusive)
        if keyword in schema
    ]
    if not found:
        return None
    value, is_exclusive = max(found)
    if whole and value.denominator == 1 and is_exclusive:
        return value + 1, False
    return value, is_exclusive


def _shown(schema: Schema, inclusive: str, exclusive: str) -> str:
    if exclusive in schema:
        return f"beyond {schema[exclusive]}"
    return str(schema[inclusive]) if inclusive in schema else "unbounded"


def _counts(path: str, writer: Schema, reader: Schema, keywords: tuple[str, str], what: str) -> Iterator[Problem]:
    least, most = keywords
    if writer.get(least, 0) < reader.get(least, 0):
        text = f"{writer.get(least, 0)} {what} may be sent, and {reader[least]} are the least taken"
        yield Problem(path=path, keyword=least, text=text)
    if most in reader and writer.get(most, float("inf")) > reader[most]:
        sent = f"{writer[most]} {what}" if most in writer else f"any number of {what}"
        yield Problem(path=path, keyword=most, text=f"{sent} may be sent, and {reader[most]} are the most taken")


def _texts(path: str, writer: Schema, reader: Schema) -> Iterator[Problem]:
    for keyword in ("pattern", "format"):
        if keyword in reader and writer.get(keyword) != reader[keyword]:
            sent = f"{keyword} {writer[keyword]!r}" if keyword in writer else f"text of any {keyword}"
            text = f"{sent} may be sent, and {keyword} {reader[keyword]!r} is taken"
            yield Problem(path=path, keyword=keyword, text=text)


# --- single values ----------------------------------------------------------------------------------------------------


def is_valid(value: Any, schema: Schema, root: Schema) -> bool:
    """Tell whether a value is valid under a part of a schema, as JSON Schema 2020-12 says."""
    return validator_of({**schema, "$defs": root.get("$defs", {})})(value)


def validator_of(schema: Schema) -> Callable[[Any], bool]:
    """Return a function that tells whether a value is valid."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema).is_valid


def resolved(schema: Schema, root: Schema) -> Schema:
    """
    Follow a schema's `$ref`, and keep what stands beside it.

    Raises:
        LookupError: It leads outside of the schema's own `$defs`.
    """
    followed: set[str] = set()
    while "$ref" in schema:
        target = schema["$ref"]
        name = target.removeprefix("#/$defs/")
        found = root if target == "#" else root.get("$defs", {}).get(name)
        if found is None or target in followed:
            raise LookupError(f"The schema refers to {target!r}, which is not among its own $defs.")
        followed.add(target)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {"allOf": [found, beside]} if found.keys() & beside.keys() else {**found, **beside}
    return schema


# --- words ------------------------------------------------------------------------------------------------------------


def joined(path: str, name: str) -> str:
    """Return the path of a member."""
    return f"{path}.{name}" if path else name


def _joined(names: list[str]) -> str:
    return " or ".join(names)


def _listed(values: list[Any]) -> str:
    texts = [json.dumps(value, ensure_ascii=False) for value in values[:5]]
    return ", ".join([*texts, "..."] if len(values) > 5 else texts)
