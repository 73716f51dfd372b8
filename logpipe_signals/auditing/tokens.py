"""
Tokens: a value of a message as a few characters, alike on both sides when the values are the same.

A serializer does not always show a value as it was sent: "1.50" comes back as "1.500" from a column of three decimals,
a time in the time zone of the subscriber, " Joe " without its blanks from a CharField. Only the subscriber knows its
fields, and it never sees the value. So a token of a text that could come back otherwise says two things: what the value
means, and how it was written; and the subscriber's field decides whether the writing counts.

    "Joe"     six characters: of the value
    " Joe "   t, six of " Joe ", the token of "Joe"     t: blanks at its ends
    "1.50"    n, six of the number, six of the text     n: a number as text
    "...T..Z" d, six of the moment, six of the text     d: a moment
    [3, 1]    s, six of the sorted list, six of it      s: a list that is not sorted

Six characters are 36 bits: of a hundred thousand million rows that differ in one field, one or two are not found.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from rest_framework.renderers import JSONRenderer

LENGTH = 6
TRIMMED, NUMERIC, MOMENT, UNSORTED = "t", "n", "d", "s"
ABSENT = "~"
"""The token of a member whose object is null."""
MISSING = "?"
"""The token of a member that a message does not have."""

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)


class _Lenient(JSONRenderer):
    """NaN is a value like others here."""

    strict = False


def plain(data: Any) -> Any:
    """Return a serializer's data as it is on the wire: texts, numbers, lists and objects."""
    return json.loads(_Lenient().render(data))


def token(value: Any) -> str:
    """Return the token of a value in its wire form."""
    form = form_of(value)
    if form.kind == TRIMMED:
        return TRIMMED + _short(form.writing) + token(value.strip())
    return form.kind + _short(form.meaning) + _short(form.writing) if form.kind else _short(form.meaning)


def same(sent: str, own: str, loosely: str) -> bool:
    """
    Tell whether two tokens mean the same to a field; a member that one side does not have is not compared.

    Args:
        loosely: The kinds of writing that do not count for it: "t", "n", "d", "s".
    """
    if sent == own or MISSING in (sent, own):
        return True
    if TRIMMED in loosely:
        sent, own = _without_blanks(sent), _without_blanks(own)
        if sent == own:
            return True
    if ABSENT in (sent, own) or _meaning(sent) != _meaning(own):
        return False
    kinds = {each[0] for each in (sent, own) if len(each) > LENGTH}
    if kinds <= set(loosely):
        return True
    # A number, and its text in a column of texts.
    return kinds == {NUMERIC} and (len(sent) == LENGTH) != (len(own) == LENGTH)


def checksum(tokens: Iterable[str]) -> str:
    """Return the checksum of a range's tokens, in their order."""
    digest = hashlib.blake2b("\n".join(tokens).encode(), digest_size=12).digest()
    return base64.urlsafe_b64encode(digest).decode()


def key_hash(values: Sequence[Any]) -> int:
    """Return what stands for a row's lookup values: a whole number of 64 bits, with a sign as databases have it."""
    text = "\x00".join(form_of(value).meaning for value in values)
    return int.from_bytes(hashlib.blake2b(_bytes(text), digest_size=8).digest(), "big", signed=True)


# --- what a value means, and how it is written ------------------------------------------------------------------------


class Form(NamedTuple):
    """A value: what it means, and, where it has a kind, how it is written."""

    kind: str
    meaning: str
    writing: str = ""


def form_of(value: Any) -> Form:
    """Return what a value in its wire form means."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return _list(value)
    return Form("", _exactly(value))


def _text(text: str) -> Form:
    written = f'"{text}'
    stripped = text.strip()
    if stripped != text:
        return Form(TRIMMED, _text(stripped).meaning, written)
    if _NUMBER.match(text):
        return Form(NUMERIC, f"#{_normal(text)}", written)
    if _MOMENT.match(text) and (moment := _moment(text)):
        return Form(MOMENT, f"@{moment}", written)
    return Form("", written)


def _list(values: Sequence[Any]) -> Form:
    in_order = [form_of(value).meaning for value in values]
    meaning, written = f"[{sorted(in_order)}", f"[{in_order}"
    as_they_are = f"{[_exactly(value) for value in values]}"
    if meaning == written and as_they_are == f"{in_order}":
        return Form("", meaning)
    return Form(UNSORTED, meaning, f"[{as_they_are}")


def _exactly(value: Any) -> str:
    """Return the text of a value, the same for numbers that are the same, and for objects in whatever order."""
    if isinstance(value, str):
        return f'"{value}'
    if isinstance(value, dict):
        return f"{{{[(name, _exactly(value[name])) for name in sorted(value)]}"
    if isinstance(value, list):
        return f"[{[_exactly(each) for each in value]}"
    if value is None or isinstance(value, bool):
        return str(value)
    return f"#{_normal(repr(value))}"


def _normal(number: str) -> str:
    if "e" in number:
        number = f"{Decimal(number):f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return "0" if number == "-0" else number


def _moment(text: str) -> str:
    """Return a moment in UTC; DRF shows one without a zone in UTC where a project uses no time zones."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    try:
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
    except OverflowError:
        return ""


# --- short ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=50_000)
def _short(text: str) -> str:
    digest = hashlib.blake2b(_bytes(text), digest_size=5).digest()
    return base64.urlsafe_b64encode(digest)[:LENGTH].decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _without_blanks(written: str) -> str:
    """Return the token of a text without the blanks at its ends."""
    return written[1 + LENGTH :] if len(written) > LENGTH and written[0] == TRIMMED else written


def _meaning(written: str) -> str:
    return written if len(written) == LENGTH else written[1 : 1 + LENGTH]
