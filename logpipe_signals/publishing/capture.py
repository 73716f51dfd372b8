"""Capture: every committed change of a published model leaves one outbox row in its own transaction."""


def connect() -> None:
    """Connect to every published model."""
