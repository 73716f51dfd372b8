"""
Points at which a process kills itself with SIGKILL, as the kernel or a person would: LOGPIPE_KILL_AT names one.

They stand where the process meets the database and the log, not in this package's own functions, so that they stay
true when those change. A process that is never killed ends normally, which its test calls a failure.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import connections

from logpipe_signals.backend import producer_class
from logpipe_signals.backend.base import Delivery, Message
from logpipe_signals.models import OutboxRow

VARIABLE = "LOGPIPE_KILL_AT"
UNCOMMITTED = ("after_row_write", "before_commit")
COMMITTED = ("after_commit", "before_send", "after_send", "before_outbox_delete", "after_outbox_delete")


def die() -> None:
    """End this process at once: no handler, no finally, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillPoints:
    """Installs the point that the environment names on one alias's connection, and on the log's producer."""

    def __init__(self, point: str, using: str = "default") -> None:
        self.point = point
        self._connection = connections[using]
        self._captured = False

    def install(self, stack: ExitStack) -> None:
        """Arm it until the stack is closed."""
        stack.enter_context(self._connection.execute_wrapper(self._execute))
        self._wrap(self._connection, "commit", self._commit)
        self._wrap(producer_class(), "submit", self._submit)

    def _wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))

    def _at(self, point: str) -> None:
        if self.point == point:
            die()

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split(maxsplit=1)[0] if OutboxRow._meta.db_table in sql else ""
        if verb == "INSERT":
            self._at("after_row_write")
        if verb == "DELETE":
            self._at("before_outbox_delete")
        outcome = execute(sql, params, many, context)
        if verb == "DELETE":
            self._at("after_outbox_delete")
        self._captured = self._captured or verb == "INSERT"
        return outcome

    def _commit(self, commit: Callable[[], None]) -> None:
        if self._captured:
            self._at("before_commit")
        commit()
        if self._captured:
            self._at("after_commit")

    def _submit(
        self, submit: Callable[..., Delivery], producer: Any, messages: Sequence[Message], **kw: Any
    ) -> Delivery:
        self._at("before_send")
        delivery = submit(producer, messages, **kw)
        if self.point == "after_send":
            outcomes = delivery.wait(kw["timeout_seconds"])
            assert all(outcome.metadata for outcome in outcomes)
            die()
        return delivery
