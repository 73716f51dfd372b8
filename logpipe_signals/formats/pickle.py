"""Pickle, for those who have it in use; refused from the wire unless `ALLOW_INCOMING_PICKLE` says otherwise."""

from __future__ import annotations

import pickle
from typing import IO, Any


class PickleRenderer:
    """Pickles with Python's default protocol."""

    media_type = "application/python-pickle"
    format = "pickle"

    def render(self, data: Any, *_context: Any) -> bytes:
        """Return the pickle."""
        return pickle.dumps(data)


class PickleParser:
    """Unpickles. `formats.parse` asks the setting before it calls this."""

    media_type = "application/python-pickle"

    def parse(self, stream: IO[bytes], *_context: Any) -> Any:
        """Return what was pickled."""
        return pickle.load(stream)
