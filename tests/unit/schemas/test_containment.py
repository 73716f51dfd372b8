"""What is called compatible is: made-up schemas and made-up messages, judged by jsonschema."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from logpipe_signals.schemas.compatibility import Compatibility, compare
from logpipe_signals.schemas.containment import is_valid, problems
from logpipe_signals.schemas.shapes import closed, inlined, opened, plain

NAMES = ["a", "b", "c"]
WORDS = ["", "x", "yy", "zzz"]
NUMBERS = [-2, -1, 0, 1, 2, 3, 4, 0.5, 2.5]
numbers = st.sampled_from([0, 1, 2, 3])


@st.composite
def texts(draw: Any) -> Any:
    optional = {"minLength": numbers, "maxLength": numbers, "pattern": st.sampled_from(["^x", "z$"])}
    return {"type": "string", **draw(st.fixed_dictionaries({}, optional=optional))}


@st.composite
def quantities(draw: Any) -> Any:
    limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    optional = {**dict.fromkeys(limits, numbers), "multipleOf": st.sampled_from([1, 2, 0.5])}
    kind = draw(st.sampled_from(["integer", "number"]))
    return {"type": kind, **draw(st.fixed_dictionaries({}, optional=optional))}


choices = st.lists(st.sampled_from([*WORDS, *NUMBERS, None, True, False]), min_size=1, max_size=4).map(
    lambda values: {"enum": values}
)
plain_ones = st.one_of(
    texts(), quantities(), choices, st.sampled_from([{}, {"type": "null"}, {"type": "boolean"}, {"type": "object"}])
)


@st.composite
def lists(draw: Any, inner: Any) -> Any:
    optional = {"minItems": numbers, "maxItems": numbers, "uniqueItems": st.booleans(), "items": inner}
    return {"type": "array", **draw(st.fixed_dictionaries({}, optional=optional))}


@st.composite
def objects(draw: Any, inner: Any) -> Any:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), inner, max_size=3))
    required = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))
    optional = {
        "additionalProperties": st.one_of(st.booleans(), inner),
        "maxProperties": numbers,
        "minProperties": numbers,
        "patternProperties": st.fixed_dictionaries({"^a": inner}),
    }
    others = draw(st.fixed_dictionaries({}, optional=optional))
    return {"type": "object", "properties": properties, "required": required, **others}


def deeper(inner: Any) -> Any:
    alternatives = st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found})
    beside = st.tuples(alternatives, texts()).map(lambda pair: {**pair[1], **pair[0]})
    nullable = inner.map(lambda found: {"oneOf": [found, {"type": "null"}]})
    return st.one_of(objects(inner), lists(inner), alternatives, beside, nullable)


schemas = st.recursive(plain_ones, deeper, max_leaves=6).map(plain)
messages = objects(schemas).map(plain)


def values() -> Any:
    scalars = st.sampled_from([*WORDS, *NUMBERS, None, True, False])
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*NAMES, "other"]), inner, max_size=3)
        ),
        max_leaves=5,
    )


@st.composite
def changed(draw: Any, schema: Any) -> Any:
    """A schema near another one, so that many pairs are compatible in one direction."""
    if not isinstance(schema, dict) or draw(st.integers(0, 9)) == 0:
        return draw(schemas)
    found = {
        key: value for key, value in schema.items() if key in ("type", "anyOf", "enum") or draw(st.integers(0, 4)) > 0
    }
    if "properties" in found:
        found["properties"] = {name: draw(changed(inner)) for name, inner in found["properties"].items()}
    if isinstance(found.get("items"), dict):
        found["items"] = draw(changed(found["items"]))
    if "anyOf" in found:
        found["anyOf"] = [draw(changed(one)) for one in found["anyOf"]]
    for key in ("maxLength", "maximum", "maxItems"):
        if key in found:
            found[key] += draw(st.sampled_from([0, 1]))
    return plain(found)


@settings(max_examples=150)
@given(st.data())
def test_what_a_writer_may_send_is_valid_for_a_reader_that_contains_it(data: st.DataObject) -> None:
    writer = data.draw(schemas)
    reader = data.draw(changed(writer))
    assume(not problems(writer, reader))
    value = data.draw(values())
    event(f"sent: {is_valid(value, writer, writer)}")
    if is_valid(value, writer, writer):
        assert is_valid(value, reader, reader)


@settings(max_examples=150)
@given(st.data())
def test_backward_compatible_means_that_old_messages_are_valid_under_the_new_schema(data: st.DataObject) -> None:
    old = closed(data.draw(messages))
    new = closed(data.draw(changed(old)))
    verdict = compare(old, new).compatibility
    value = data.draw(st.dictionaries(st.sampled_from(NAMES), values(), max_size=3))
    event(f"{verdict}, sent: {is_valid(value, old, old)}")
    if verdict in (Compatibility.BACKWARD, Compatibility.FULL) and is_valid(value, old, old):
        assert is_valid(value, opened(new), new)
    if verdict in (Compatibility.FORWARD, Compatibility.FULL) and is_valid(value, new, new):
        assert is_valid(value, opened(old), old)


@settings(max_examples=50)
@given(schemas)
def test_every_schema_contains_itself(schema: Any) -> None:
    assert problems(schema, schema) == []


def test_a_recursive_schema_is_compared_to_its_end() -> None:
    def tree(leaf: str) -> Any:
        node = {
            "type": "object",
            "properties": {"leaf": {"type": leaf}, "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
        }
        return plain(inlined({"$ref": "#/$defs/Node", "$defs": {"Node": node}}))

    assert problems(tree("string"), tree("string")) == []
    assert {problem.path for problem in problems(tree("string"), tree("integer"))} == {"leaf", "kids[].leaf"}


def test_what_cannot_be_compared_counts_as_broken() -> None:
    assert [each.keyword for each in problems({"type": "string"}, {"not": {"const": "a"}})] == ["not"]
    assert problems({"type": "string", "not": {"const": "a"}}, {"not": {"const": "a"}}) == []


def test_a_member_that_a_writer_may_send_without_naming_it_has_to_fit_the_readers() -> None:
    writer = {"type": "object", "additionalProperties": {"type": "integer"}}
    reader = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert [each.path for each in problems(writer, reader)] == ["a"]
    assert problems({**writer, "additionalProperties": False}, reader) == []


def test_what_a_pattern_lets_a_writer_send_has_to_fit_the_readers() -> None:
    writer = {"type": "object", "patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}
    reader = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert "a" in [each.path for each in problems(writer, reader)]
