"""MessagePack, with the extra `[msgpack]`."""

from __future__ import annotations

from typing import IO, Any


class MsgPackRenderer:
    """Packs with `use_bin_type`, as django-logpipe does."""

    media_type = "application/msgpack"
    format = "msgpack"

    def render(self, data: Any, *_context: Any) -> bytes:
        """Return the packed bytes."""
        packed: bytes = _msgpack().packb(data, use_bin_type=True)
        return packed


class MsgPackParser:
    """Unpacks lists as tuples, as django-logpipe does."""

    media_type = "application/msgpack"

    def parse(self, stream: IO[bytes], *_context: Any) -> Any:
        """Return what was packed."""
        return _msgpack().unpack(stream, use_list=False)


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise ImportError("The format msgpack needs msgpack: pip install 'logpipe_signals[msgpack]'.") from error
    return msgpack
