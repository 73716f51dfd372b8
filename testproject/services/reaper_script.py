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
from contextlib import suppress

SETTLE_SECONDS = 0.3


def read_leftovers(lines):  # type: ignore[no-untyped-def]
    """Follow the orders to their end; return the process groups and the folders that are still watched."""
    watched = {"process": {}, "folder": {}}
    for line in lines:
        order, kind, name = json.loads(line)
        if order == "watch":
            watched[kind][name] = True
        else:
            watched[kind].pop(name, None)
    return list(watched["process"]), list(watched["folder"])


def reap(process_groups, folders):  # type: ignore[no-untyped-def]
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
