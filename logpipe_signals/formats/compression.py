"""
Compression of large messages, on every log: `LOGPIPE["COMPRESSION"]` names it, and so does the message.

    gzip:<the compressed bytes of `json:{...}`>

So a reader that has none of it says `Unknown format 'gzip'` instead of something that nobody understands.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from functools import lru_cache
from typing import Any

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import UnknownFormatError

logger = logging.getLogger(__name__)

GZIP, ZSTD = "gzip", "zstd"
CODES = (GZIP, ZSTD)
MOST_BYTES = 64 * 1024 * 1024
"""What a message may come to: some kilobytes can be made to unpack to gigabytes."""
DELIMITER = b":"


def packed(value: bytes) -> bytes:
    """Return a message as it is sent: compressed, if that is asked for, it is large enough, and it gains something."""
    code = settings.COMPRESSION
    if not code or len(value) < settings.COMPRESSION_MIN_BYTES or not is_available(code):
        return value
    compressed = code.encode() + DELIMITER + _compress(code, value)
    return compressed if len(compressed) < len(value) else value


def unpacked(code: str, body: bytes, *, most_bytes: int | None = None) -> bytes:
    """
    Return the message that was compressed.

    Raises:
        UnknownFormatError: The bytes are no such compression, unpack to too much, or a package is missing.
    """
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    if not is_available(code):
        raise UnknownFormatError(
            f"The message is compressed by {code}, which needs zstandard: pip install 'logpipe_signals[zstd]'."
        )
    try:
        value = _decompress(code, body, most_bytes)
    except Exception as error:  # the compressions' errors have no common root
        raise UnknownFormatError(f"The message does not unpack as {code}: {type(error).__name__}: {error}") from error
    if len(value) > most_bytes:
        raise UnknownFormatError(f"The message unpacks to more than {most_bytes} bytes. Send less in one message.")
    return value


def is_available(code: str) -> bool:
    """Tell whether a compression can be used here; a missing one is said once."""
    return code == GZIP or (code == ZSTD and _zstandard() is not None)


def _compress(code: str, value: bytes) -> bytes:
    if code == GZIP:
        return gzip.compress(value, compresslevel=6, mtime=0)
    compressed: bytes = _zstandard().ZstdCompressor(level=3).compress(value)
    return compressed


def _decompress(code: str, body: bytes, most_bytes: int) -> bytes:
    """Unpack, but not much more than a message may have."""
    if code == GZIP:
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        value = unpacker.decompress(body, most_bytes + 1)
        if not unpacker.eof and len(value) <= most_bytes:
            raise EOFError("it ends in the middle")
        return value
    with _zstandard().ZstdDecompressor(max_window_size=MOST_BYTES).stream_reader(body) as reader:
        read: bytes = reader.read(most_bytes + 1)
    return read


@lru_cache(maxsize=1)
def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        logger.error("zstd needs zstandard: pip install 'logpipe_signals[zstd]'. Messages are sent uncompressed.")
        return None
    return zstandard
