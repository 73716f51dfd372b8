"""
Stands beside the process that started services, and ends what it leaves behind.

Run as a script of its own, without the project on its path. Reads one JSON list a line from standard input:
``["watch", "process", PID]``, ``["watch", "folder", PATH]`` and the same with ``"forget"``. Standard input ends when
that process ends, however it ends: then whatever is still watched is killed, and its folders are removed.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

SETTLE_SECONDS = 0.3


def read_leftovers(lines: Iterable[str]) -> tuple[list[int], list[str]]:
    """Follow the orders to their end; return the process groups and the folders that are still watched."""
    processes: set[int] = set()
    folders: set[str] = set()
    for line in lines:
        order, kind, name = json.loads(line)
        watched: set[Any] = processes if kind == "process" else folders
        if order == "watch":
            watched.add(name)
        else:
            watched.discard(name)
    return list(processes), list(folders)


def reap(process_groups: list[int], folders: list[str]) -> None:
    """Kill the groups, then remove the folders."""
    for process_group in process_groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_group, signal.SIGKILL)
    if process_groups:
        time.sleep(SETTLE_SECONDS)  # children that notice their parent's death may still be writing
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    reap(*read_leftovers(sys.stdin))
