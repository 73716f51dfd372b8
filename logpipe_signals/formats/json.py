"""
JSON as django-logpipe writes it: DRF's compact renderer, byte for byte.

A faster encoder is no replacement: orjson differs on NaN, U+2028, Decimal and integers past 64 bits. But DRF makes a
new one for each call, which takes several times as long as a row takes to encode; here it is made once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import c_make_encoder, encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

from rest_framework import parsers, renderers
from rest_framework.compat import LONG_SEPARATORS, SHORT_SEPARATORS
from rest_framework.exceptions import ParseError
from rest_framework.utils.json import strict_constant


class JSONRenderer(renderers.JSONRenderer):
    """DRF's renderer of JSON, with an encoder that is kept."""

    def __init__(self) -> None:
        separators = SHORT_SEPARATORS if self.compact else LONG_SEPARATORS
        encoder = self.encoder_class(
            ensure_ascii=self.ensure_ascii, allow_nan=not self.strict, separators=(separators[0], separators[1])
        )
        self._encode = _kept(encoder)

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the bytes of `data`."""
        if data is None or accepted_media_type or renderer_context:
            return super().render(data, accepted_media_type, renderer_context)
        text = self._encode(data)
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def _kept(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """Return `encoder.encode`, as CPython's json does it, without making its inner encoder for each call."""
    if c_make_encoder is None:
        return encoder.encode
    encode = c_make_encoder(
        None,
        encoder.default,
        encode_basestring_ascii if encoder.ensure_ascii else encode_basestring,
        encoder.indent,
        encoder.key_separator,
        encoder.item_separator,
        encoder.sort_keys,
        encoder.skipkeys,
        encoder.allow_nan,
    )
    return lambda data: "".join(encode(data, 0))


class JSONParser(parsers.JSONParser):
    """DRF's parser of JSON, with a decoder that is kept."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(parse_constant=strict_constant if self.strict else None)

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return what the bytes of a stream say."""
        try:
            return self._decoder.decode(stream.read().decode())
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error


__all__ = ["JSONParser", "JSONRenderer"]
