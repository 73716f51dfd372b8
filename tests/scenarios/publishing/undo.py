"""What a writer raises to take back what it did."""

from __future__ import annotations


class ChangedMindError(Exception):
    """Rolls a transaction back."""
