"""Each rule of compatibility has its case: what changed, what it is called, and which direction it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from logpipe_signals.schemas.compatibility import Compatibility, compare
from logpipe_signals.schemas.shapes import closed, plain

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
FULL, BACKWARD, FORWARD, NONE = (
    Compatibility.FULL,
    Compatibility.BACKWARD,
    Compatibility.FORWARD,
    Compatibility.NONE,
)


def message(*optional: str, **properties: Any) -> Any:
    """Return the schema of what is sent: these fields, some of which a reader need not have."""
    schema = {"type": "object", "properties": properties, "required": list(properties), "x-optional": list(optional)}
    return closed(plain(schema))


def within(**changes: Any) -> Any:
    return message(field={**TEXT, **changes})


def number(**changes: Any) -> Any:
    return message(field={"type": "number", **changes})


def items(**changes: Any) -> Any:
    return message(field={"type": "array", "items": TEXT, **changes})


def nested(**properties: Any) -> Any:
    inner = {"type": "object", "properties": properties, "required": list(properties)}
    return message(field=inner)


def labels(additional: Any) -> Any:
    return message(field={"type": "object", "additionalProperties": additional})


BIG, SMALL = {"type": "number", "minimum": 5}, {"type": "number", "minimum": 1}
EITHER = {"anyOf": [TEXT, {"type": "boolean"}]}

RULES: dict[str, tuple[Any, Any, Compatibility, str, str]] = {
    # name: (old, new, verdict, the field, what is said of it)
    "an optional field is added": (message(), message("field", field=TEXT), FULL, "field", "was added, optional"),
    "a required field is added": (message(), message(field=TEXT), FORWARD, "field", "was added, required"),
    "an optional field is removed": (message("field", field=TEXT), message(), FULL, "field", "was removed"),
    "a required field is removed": (message(field=TEXT), message(), BACKWARD, "field", "it was required"),
    "a field is renamed": (message(old=TEXT), message(field=TEXT), NONE, "field", "was added, required"),
    "a type is widened": (message(field=WHOLE), number(), BACKWARD, "field", "was integer, is number"),
    "a type is narrowed": (number(), message(field=WHOLE), FORWARD, "field", "was number, is integer"),
    "a type is another one": (message(field=TEXT), message(field=WHOLE), NONE, "field", "was string, is integer"),
    "a field may be null": (message(field=TEXT), within(type=["string", "null"]), BACKWARD, "field", "string or null"),
    "a field may be null no more": (within(type=["string", "null"]), message(field=TEXT), FORWARD, "field", "null"),
    "a type becomes a choice": (message(field=TEXT), message(field=EITHER), BACKWARD, "field", "boolean or string"),
    "a choice becomes one type": (message(field=EITHER), message(field=TEXT), FORWARD, "field", "is string"),
    "a field may be anything": (message(field=TEXT), message(field={}), BACKWARD, "field", "is any"),
    "a field may be anything no more": (message(field={}), message(field=TEXT), FORWARD, "field", "was any"),
    "a value is added": (within(enum=["a"]), within(enum=["a", "b"]), BACKWARD, "field", 'gained the value "b"'),
    "a value is removed": (within(enum=["a", "b"]), within(enum=["a"]), FORWARD, "field", 'lost the value "b"'),
    "values are named": (within(), within(enum=["a"]), FORWARD, "field", 'is one of "a"'),
    "values are named no more": (within(enum=["a"]), within(), BACKWARD, "field", 'was one of "a"'),
    "a constant is another": (within(const="a"), within(const="b"), NONE, "field", 'lost the value "a" and gained'),
    "maxLength is tightened": (within(maxLength=9), within(maxLength=5), FORWARD, "field", "had maxLength 9, has 5"),
    "maxLength is loosened": (within(maxLength=5), within(maxLength=9), BACKWARD, "field", "had maxLength 5, has 9"),
    "maxLength comes": (within(), within(maxLength=5), FORWARD, "field", "had maxLength nothing, has 5"),
    "maxLength goes": (within(maxLength=5), within(), BACKWARD, "field", "had maxLength 5, has nothing"),
    "minLength is tightened": (within(minLength=1), within(minLength=5), FORWARD, "field", "minLength"),
    "minLength is loosened": (within(minLength=5), within(), BACKWARD, "field", "minLength"),
    "minimum is tightened": (number(minimum=1), number(minimum=5), FORWARD, "field", "had minimum 1, has 5"),
    "minimum is loosened": (number(minimum=5), number(minimum=1), BACKWARD, "field", "minimum"),
    "maximum is tightened": (number(maximum=5), number(maximum=1), FORWARD, "field", "maximum"),
    "maximum is loosened": (number(maximum=1), number(), BACKWARD, "field", "has nothing"),
    "a minimum becomes exclusive": (number(minimum=5), number(exclusiveMinimum=5), FORWARD, "field", "has beyond 5"),
    "a maximum becomes inclusive": (number(exclusiveMaximum=5), number(maximum=5), BACKWARD, "field", "maximum"),
    "multipleOf is tightened": (number(multipleOf=2), number(multipleOf=4), FORWARD, "field", "multipleOf"),
    "multipleOf is loosened": (number(multipleOf=4), number(multipleOf=2), BACKWARD, "field", "multipleOf"),
    "a pattern comes": (within(), within(pattern="^a"), FORWARD, "field", 'has "^a"'),
    "a pattern goes": (within(pattern="^a"), within(), BACKWARD, "field", "pattern"),
    "a pattern is another": (within(pattern="^a"), within(pattern="^b"), NONE, "field", "pattern"),
    "a format comes": (within(), within(format="uuid"), FORWARD, "field", "format"),
    "a format is another": (within(format="date"), within(format="uuid"), NONE, "field", "format"),
    "minItems is tightened": (items(), items(minItems=1), FORWARD, "field", "minItems"),
    "maxItems is loosened": (items(maxItems=1), items(maxItems=2), BACKWARD, "field", "maxItems"),
    "items have to differ": (items(), items(uniqueItems=True), FORWARD, "field", "uniqueItems"),
    "items are another type": (items(), items(items=WHOLE), NONE, "field[]", "was string, is integer"),
    "items are loosened": (items(items=BIG), items(items=SMALL), BACKWARD, "field[]", "minimum"),
    "a required field is added within": (nested(), nested(inner=TEXT), FORWARD, "field.inner", "was added, required"),
    "a required field is removed within": (nested(inner=TEXT), nested(), BACKWARD, "field.inner", "was removed"),
    "a field within is tightened": (nested(inner=SMALL), nested(inner=BIG), FORWARD, "field.inner", "minimum"),
    "members of any name are tightened": (labels(SMALL), labels(BIG), FORWARD, "field.*", "minimum"),
    "members of any name are another type": (labels(TEXT), labels(WHOLE), NONE, "field.*", "was string, is integer"),
    "an optional field becomes required": (message("field", field=TEXT), message(field=TEXT), FULL, "field", "is req"),
    "a keyword that is not understood comes": (within(), within(**{"not": {"const": "a"}}), FORWARD, "field", "not"),
}
# Confluent's names look from the reader's side: tightened limits keep old readers (FORWARD), loosened ones new ones.


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_its_verdict_and_names_its_field(rule: str) -> None:
    old, new, verdict, path, text = RULES[rule]
    comparison = compare(old, new)
    assert comparison.compatibility == verdict
    said = {change.path: change for change in comparison.changes}
    assert text in said[path].text


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_the_direction_that_is_broken_and_why(rule: str) -> None:
    old, new, verdict, _, _ = RULES[rule]
    said = " ".join(map(str, compare(old, new).changes))
    assert ("BACKWARD broken" in said) == (verdict in (FORWARD, NONE))
    assert ("FORWARD broken" in said) == (verdict in (BACKWARD, NONE))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_the_other_way_round_has_the_opposite_verdict(rule: str) -> None:
    old, new, verdict, _, _ = RULES[rule]
    opposite = {BACKWARD: FORWARD, FORWARD: BACKWARD}.get(verdict, verdict)
    assert compare(new, old).compatibility == opposite


def test_nothing_changed_is_fully_compatible() -> None:
    assert compare(within(), within()).changes == ()
    assert compare(within(), within()).compatibility == FULL


def test_a_reader_that_takes_no_unknown_member_is_broken_by_a_new_field() -> None:
    strict = {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False}
    wider = {"type": "object", "properties": {"a": TEXT, "field": TEXT}, "additionalProperties": False}
    (change,) = compare(strict, wider, "accepted").changes
    assert (change.path, change.compatibility) == ("field", BACKWARD)
    assert "it may be sent, and is not taken" in change.forward


def test_a_reader_that_starts_to_need_a_field_breaks_who_writes_by_the_old_schema() -> None:
    old = {"type": "object", "properties": {"field": TEXT}}
    (change,) = compare(old, {**old, "required": ["field"]}, "accepted").changes
    assert (change.path, change.text, change.compatibility) == ("field", "was optional, is required", FORWARD)


def test_an_always_sent_field_is_there_for_readers_that_need_it_whatever_it_is_declared() -> None:
    from logpipe_signals.schemas.containment import problems

    reader = {"type": "object", "properties": {"field": TEXT}, "required": ["field"]}
    assert problems(message("field", field=TEXT), reader) == []


@pytest.mark.parametrize("wanted", Compatibility)
@pytest.mark.parametrize("found", [FULL, BACKWARD, FORWARD, NONE])
def test_what_is_asked_for_allows_what_is_as_compatible(wanted: Compatibility, found: Compatibility) -> None:
    asked = wanted.removesuffix("_TRANSITIVE")
    assert wanted.allows(found) == (asked == "NONE" or found == "FULL" or asked == found)
