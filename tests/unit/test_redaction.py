"""What a serializer calls sensitive is masked in messages and in texts, however it is spelt there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from logpipe_signals.redaction import MASK, redacted, secrets_in, sensitive_paths, without

MESSAGE: dict[str, Any] = {
    "name": "Joe",
    "email": "joe@example.com",
    "address": {"street": "Elm 5", "city": "Bonn"},
    "phones": [{"number": 4912345, "kind": "home"}, {"number": 4967890, "kind": "work"}],
}


class Sensitive:
    SENSITIVE_FIELDS = ("email", "address.street", "phones.number")


PATHS = sensitive_paths([Sensitive])


def test_fields_nested_ones_and_those_of_each_element_are_masked_and_the_rest_is_not() -> None:
    assert redacted(MESSAGE, PATHS) == {
        "name": "Joe",
        "email": MASK,
        "address": {"street": MASK, "city": "Bonn"},
        "phones": [{"number": MASK, "kind": "home"}, {"number": MASK, "kind": "work"}],
    }


def test_a_sensitive_object_is_masked_with_all_it_holds() -> None:
    paths = frozenset({("address",)})
    assert redacted(MESSAGE, paths)["address"] == MASK
    assert secrets_in(MESSAGE, paths) == {"Elm 5", "Bonn"}


def test_a_single_text_is_one_field_and_not_its_letters() -> None:
    class Careless:
        SENSITIVE_FIELDS = "email"

    assert sensitive_paths([Careless]) == {("email",)}


def test_a_message_of_another_shape_is_left_as_it_is() -> None:
    assert redacted({"address": "none", "phones": None}, PATHS) == {"address": "none", "phones": None}
    assert redacted("text", PATHS) == "text"


def test_values_in_a_text_are_masked_wherever_they_stand() -> None:
    text = 'Key (email)=(joe@example.com) exists; "Elm 5" is no street; 4912345 is no number of Joe'
    assert without(text, secrets_in(MESSAGE, PATHS)) == (
        f'Key (email)=({MASK}) exists; "{MASK}" is no street; {MASK} is no number of Joe'
    )


@pytest.mark.parametrize("secret", ['Zoë "Z" O\'Hara', "two\nlines", "back\\slash", "ümlaut@example.com"])
@pytest.mark.parametrize("spelt", [str, repr, json.dumps, lambda text: repr([repr(text)]), str.upper])
def test_a_value_is_masked_as_python_and_json_write_it(secret: str, spelt: Any) -> None:
    masked = without(f"Refused: {spelt(secret)}.", frozenset({secret}))
    assert MASK in masked
    assert "example.com" not in masked
    for word in ("Hara", "lines", "slash"):
        assert word not in masked


def test_a_short_value_is_masked_as_a_word_only() -> None:
    assert without("5 of 55 rows, page 5.", frozenset({"5"})) == f"{MASK} of 55 rows, page {MASK}."


def test_what_is_left_of_a_value_where_a_text_cuts_it_is_masked_too() -> None:
    secret = "joe.schmoe.the.third@example.com"
    text = f"[type=x, input_value='{secret[:12]}...{secret[-9:]}', input_type=str]"
    masked = without(text, frozenset({secret}))
    assert "joe" not in masked
    assert "example" not in masked
    assert without(f"Failing row contains (1, {secret[:14]}…", frozenset({secret})) == (
        f"Failing row contains (1, {MASK}…"
    )


def test_the_blanks_around_a_value_do_not_hide_it() -> None:
    assert "Joe" not in without("'Joe Schmoe' is taken", secrets_in({"email": "  Joe Schmoe "}, PATHS))


def test_yes_no_and_nothing_are_no_secrets() -> None:
    assert not secrets_in({"email": None, "address": {"street": True}, "phones": [{"number": ""}]}, PATHS)
