"""A transaction around a write and its capture, where there is none yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def atomic_once(using: str) -> Iterator[None]:
    """Open a transaction where there is none."""
    if connections[using].in_atomic_block:
        yield
        return
    # Where the application commits by hand there is a transaction already, and on SQLite a savepoint would commit it.
    with transaction.atomic(using=using, savepoint=connections[using].get_autocommit()):
        yield
