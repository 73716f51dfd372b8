"""
Formats by their code: what stands before the colon on the wire.

    register("json", JSONRenderer(), JSONParser()); render("json", {...}) == b"json:{...}"; parse(b"json:{...}") == {}

A renderer has `render(data) -> bytes`, a parser `parse(stream) -> dict`, as in Django REST Framework.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import IO, Any, NamedTuple, Protocol

from django.utils.module_loading import import_string

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import UnknownFormatError
from logpipe_signals.formats import compression
from logpipe_signals.formats.json import JSONParser, JSONRenderer
from logpipe_signals.formats.msgpack import MsgPackParser, MsgPackRenderer
from logpipe_signals.formats.pickle import PickleParser, PickleRenderer

FORMAT_JSON = "json"
FORMAT_MSGPACK = "msgpack"
FORMAT_PICKLE = "pickle"
DELIMITER = b":"
LONGEST_CODE = 32
COMPRESSIONS = frozenset(code.encode() for code in compression.CODES)


class Renderer(Protocol):
    """Turns a dict into bytes."""

    def render(self, data: Any, /) -> bytes: ...


class Parser(Protocol):
    """Turns a stream of bytes into a dict."""

    def parse(self, stream: IO[bytes], /) -> Any: ...


class Format(NamedTuple):
    """Both directions of one format."""

    renderer: Any
    parser: Any


_formats: dict[bytes, Format] = {}


def register(code: str, renderer: Any, parser: Any) -> None:
    """Make a format known under its code; a later registration replaces an earlier one."""
    _formats[code.encode()] = Format(renderer, parser)


def unregister(code: str) -> None:
    """Forget a format; one that is not there is no error."""
    _formats.pop(code.encode(), None)


def render(code: str, data: Any) -> bytes:
    """
    Return `code:body`, compressed where the settings ask for it.

    Raises:
        UnknownFormatError: No format has this code.
    """
    return rendering(code)(data)


def rendering(code: str) -> Callable[[Any], bytes]:
    """
    Return `render` for many messages of one format.

    Raises:
        UnknownFormatError: No format has this code.
    """
    prefix, render = code.encode() + DELIMITER, _format(code.encode()).renderer.render
    if not settings.COMPRESSION:
        return lambda data: prefix + render(data)
    return lambda data: compression.packed(prefix + render(data))


def parse(data: bytes | str) -> Any:
    """
    Return what a renderer was given.

    Raises:
        UnknownFormatError: The bytes name no format, one that is not registered, or pickle while it is refused.
    """
    code, body = unwrapped(data)
    if code == FORMAT_PICKLE.encode() and not settings.ALLOW_INCOMING_PICKLE:
        raise UnknownFormatError(
            "A pickle was refused: reading one runs its sender's code. Ask the sender for json, or, if you trust every "
            "writer of the topic, set LOGPIPE['ALLOW_INCOMING_PICKLE'] = True."
        )
    return _format(code).parser.parse(BytesIO(body))


def parse_inert(data: bytes | str, *, most_bytes: int | None = None) -> Any:
    """
    Return what a renderer was given, for somebody to look at: a pickle is never read, whatever the settings say.

    Raises:
        UnknownFormatError: As `parse`; or the message unpacks to more than this.
    """
    code, body = unwrapped(data, most_bytes=most_bytes)
    parser = _format(code).parser
    if code == FORMAT_PICKLE.encode() or isinstance(parser, PickleParser):
        raise UnknownFormatError("It is a pickle. Reading one runs its sender's code, so it is not read here.")
    return parser.parse(BytesIO(body))


def unwrapped(data: bytes | str, *, most_bytes: int | None = None) -> tuple[bytes, bytes]:
    """
    Return a value's format and body, decompressed.

    Raises:
        UnknownFormatError: The bytes name no format, or do not decompress.
    """
    raw = data.encode() if isinstance(data, str) else data
    code, delimiter, body = raw.partition(DELIMITER)
    if code in COMPRESSIONS and code not in _formats:
        code, delimiter, body = compression.unpacked(code.decode(), body, most_bytes=most_bytes).partition(DELIMITER)
    if not delimiter or len(code) > LONGEST_CODE:
        raise UnknownFormatError("The value names no format: it has to start with one and a colon, as in 'json:{...}'.")
    return code, body


def _format(code: bytes) -> Format:
    try:
        return _formats.get(code) or _declared(code)
    except KeyError:
        known = ", ".join(sorted(name.decode() for name in _formats))
        raise UnknownFormatError(
            f"Unknown format {code.decode(errors='replace')!r}. Known: {known}. "
            "Add one with LOGPIPE['FORMATS'], or logpipe_signals.formats.register(code, renderer, parser)."
        ) from None


def _declared(code: bytes) -> Format:
    """
    Return a format that the settings name, and remember it.

    Raises:
        KeyError: They do not.
        UnknownFormatError: A path does not import.
    """
    name = code.decode(errors="replace")
    paths = settings.FORMATS[name]
    try:
        renderer, parser = (import_string(path)() for path in paths)
    except (ImportError, TypeError, ValueError) as error:
        raise UnknownFormatError(
            f"LOGPIPE['FORMATS'][{name!r}] is {paths!r}, which does not load: {error}. "
            "Give the dotted paths of a renderer's and a parser's class."
        ) from error
    register(name, renderer, parser)
    return _formats[code]


register(FORMAT_JSON, JSONRenderer(), JSONParser())
register(FORMAT_MSGPACK, MsgPackRenderer(), MsgPackParser())
register(FORMAT_PICKLE, PickleRenderer(), PickleParser())
