"""Records that the Kinesis Producer Library packed into one: several of them, each with a key, behind magic bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_VARINT, _LENGTH_DELIMITED = 0, 2
_PARTITION_KEYS, _RECORDS = 1, 3
_KEY_INDEX, _DATA = 1, 3

Field = tuple[int, int | bytes]


def parts_of(data: bytes) -> list[tuple[str, bytes]] | None:
    """Return the partition key and data of each part; None where it is a record like any other."""
    body, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(MAGIC) or hashlib.md5(body, usedforsecurity=False).digest() != digest:
        return None
    try:
        return _parts(list(_fields(body)))
    except (IndexError, ValueError, TypeError):
        return None  # Some other program's bytes, which begin and end like an aggregated record's.


def _parts(fields: list[Field]) -> list[tuple[str, bytes]]:
    keys = [_text(value) for number, value in fields if number == _PARTITION_KEYS]
    records = [dict(_fields(_bytes(value))) for number, value in fields if number == _RECORDS]
    return [(keys[_number(record[_KEY_INDEX])], _bytes(record[_DATA])) for record in map(_complete, records)]


def _complete(record: dict[int, int | bytes]) -> dict[int, int | bytes]:
    return {_KEY_INDEX: 0, _DATA: b"", **record}


def _fields(message: bytes) -> Iterator[Field]:
    """Read protobuf's wire form: numbers and byte strings are all that an aggregated record has."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        value, place = _varint(message, place)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _LENGTH_DELIMITED and place + value <= len(message):
            yield tag >> 3, message[place : place + value]
            place += value
        else:
            raise ValueError(f"field {tag >> 3} is none of an aggregated record's")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number stands where bytes are")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise TypeError("bytes stand where a number is")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
