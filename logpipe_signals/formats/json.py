"""
JSON as django-logpipe writes it: DRF's compact renderer, byte for byte.

A faster encoder is no replacement: orjson differs on NaN, U+2028, Decimal and integers past 64 bits.
"""

from __future__ import annotations

from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer

__all__ = ["JSONParser", "JSONRenderer"]
