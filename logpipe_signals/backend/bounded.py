"""Questions that are waited for so long and no longer, whatever time-outs a client has of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from logpipe_signals.exceptions import BackendUnavailable

Answer = TypeVar("Answer")


def within(timeout_seconds: float, ask: Callable[[], Answer], what: str) -> Answer:
    """
    Return what a question to the log gives.

    It is asked in a thread of its own, which ends by the client's own time-outs when nobody waits for it any more.

    Args:
        what: Names the question in the error.

    Raises:
        BackendUnavailable: There was no answer in time.
    """
    found: dict[str, Any] = {}

    def run() -> None:
        try:
            found["answer"] = ask()
        except BaseException as error:  # noqa: BLE001  (whatever it is, the caller gets it)
            found["error"] = error

    thread = threading.Thread(target=run, name="logpipe-question", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if "error" in found:
        raise found["error"]
    if "answer" not in found:
        raise BackendUnavailable(f"The log did not answer within {timeout_seconds:g} s: {what}.")
    answer: Answer = found["answer"]
    return answer
