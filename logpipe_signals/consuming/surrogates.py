"""DRF's question whether a text has surrogates, asked of the whole text and not of each of its characters."""

from __future__ import annotations

from typing import Any

from rest_framework.validators import ProhibitSurrogateCharactersValidator


class NoSurrogates:
    """DRF's validator, which looks at each character by itself; asked only for a text that has surrogates."""

    def __init__(self, validator: ProhibitSurrogateCharactersValidator) -> None:
        self._validator = validator

    @classmethod
    def instead_of(cls, validator: Any) -> Any:
        """Return what does the same as a validator."""
        return cls(validator) if type(validator) is ProhibitSurrogateCharactersValidator else validator

    def __call__(self, value: Any) -> None:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self._validator(value)
