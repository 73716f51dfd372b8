"""
Transactions: one around a write and its capture, where there is none yet; and those of projects that commit by hand.

With `AUTOCOMMIT: False` Django begins a transaction with the first statement, and never runs what waits for the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def commits_by_hand(using: str) -> bool:
    """Tell whether the project's settings leave every commit of this database to its own code."""
    return not connections[using].settings_dict["AUTOCOMMIT"]


def commit_each_statement(using: str) -> None:
    """
    Let this thread's own connection commit each statement, now and whenever it connects, whatever the settings say.

    For threads and processes that only relay: what they hold and retire counts once it is committed.
    """
    connection: Any = connections[using]
    if connection.settings_dict["AUTOCOMMIT"]:
        return
    connection.settings_dict = {**connection.settings_dict, "AUTOCOMMIT": True}
    if connection.connection is not None:
        connection.set_autocommit(True)
