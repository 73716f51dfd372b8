"""Large messages are compressed by what a setting names, and a reader is told by the message itself."""

from __future__ import annotations

import gzip
import zlib

import pytest

from logpipe_signals import formats
from logpipe_signals.exceptions import UnknownFormatError
from logpipe_signals.formats import compression
from tests.conftest import ChangeSettings

LARGE = {"type": "person", "version": 1, "message": {"first_name": "Zoë " * 5000}}


@pytest.fixture(params=compression.CODES)
def code(request: pytest.FixtureRequest, logpipe_settings: ChangeSettings) -> str:
    logpipe_settings(COMPRESSION=request.param)
    return str(request.param)


def test_a_compressed_message_names_its_compression_and_comes_back(code: str) -> None:
    value = formats.render("json", LARGE)
    assert value.startswith(code.encode() + b":")
    assert len(value) < 1000
    assert formats.parse(value) == LARGE


def test_a_small_message_goes_as_it_is(code: str) -> None:
    assert formats.render("json", {"type": "person"}) == b'json:{"type":"person"}'


def test_the_setting_says_how_large_is_large(code: str, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(COMPRESSION_MIN_BYTES=10)
    assert formats.render("json", {"type": "person" * 100}).startswith(code.encode() + b":")


def test_what_compression_does_not_make_smaller_goes_as_it_is(code: str, logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(COMPRESSION_MIN_BYTES=1)
    assert formats.render("json", {"a": 1}) == b'json:{"a":1}'


def test_without_the_setting_nothing_is_compressed_and_everything_is_read() -> None:
    assert formats.render("json", LARGE).startswith(b"json:")
    assert formats.parse(b"gzip:" + gzip.compress(b'json:{"a":1}')) == {"a": 1}


def test_a_reader_without_the_package_is_told_which_one(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = formats.render("json", LARGE)
    monkeypatch.setattr(compression, "is_available", lambda code: False)
    with pytest.raises(UnknownFormatError, match=r"needs zstandard: pip install 'logpipe_signals\[zstd\]'"):
        formats.parse(value)


def test_a_writer_without_the_package_sends_uncompressed(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "is_available", lambda code: False)
    assert formats.render("json", LARGE).startswith(b"json:")


@pytest.mark.parametrize(
    "damage", [b"", b"not compressed", gzip.compress(b"json:{}")[:-6]], ids=["empty", "other", "cut"]
)
def test_damaged_bytes_are_said_to_be_that(code: str, damage: bytes) -> None:
    with pytest.raises(UnknownFormatError):
        formats.parse(code.encode() + b":" + damage)


def test_a_message_that_unpacks_to_gigabytes_is_refused_before_it_does(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = formats.render("json", LARGE)
    monkeypatch.setattr(compression, "MOST_BYTES", 2000)
    with pytest.raises(UnknownFormatError):
        formats.parse(value)


def test_a_compressed_pickle_is_refused_like_any_other() -> None:
    with pytest.raises(UnknownFormatError, match="pickle was refused"):
        formats.parse(b"gzip:" + gzip.compress(b"pickle:\x80\x04N."))


def test_a_compressed_compressed_message_is_no_message() -> None:
    with pytest.raises(UnknownFormatError, match="Unknown format 'gzip'"):
        formats.parse(b"gzip:" + gzip.compress(b"gzip:" + zlib.compress(b"json:{}")))
