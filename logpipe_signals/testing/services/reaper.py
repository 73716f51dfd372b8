"""
Nothing outlives the process that started it, even when that process is killed with SIGKILL.

One small helper process a process of ours, told over a pipe what to watch (``reaper_script.py``). A pipe, since the
kernel closes it whatever happens to us; not PR_SET_PDEATHSIG, which fires when the starting *thread* ends, is cleared
by a change of user, and is Linux alone.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

_SCRIPT = Path(__file__).with_name("reaper_script.py")
_lock = threading.Lock()
_pipe: IO[str] | None = None


def watch_process(pid: int) -> None:
    """Kill this process group when we end."""
    _order("watch", "process", pid)


def forget_process(pid: int) -> None:
    """This process has ended; its number may be somebody else's soon."""
    _order("forget", "process", pid)


def watch_folder(path: Path) -> None:
    """Remove this folder when we end."""
    _order("watch", "folder", str(path))


def forget_folder(path: Path) -> None:
    """This folder is gone."""
    _order("forget", "folder", str(path))


def _order(*order: str | int) -> None:
    with _lock:
        pipe = _opened_pipe()
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()


def _opened_pipe() -> IO[str]:
    global _pipe  # noqa: PLW0603  # one helper a process
    if _pipe is None:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
        )
        assert process.stdin is not None  # stdin=PIPE
        _pipe = process.stdin
        atexit.register(_dismiss, process, os.getpid())
    return _pipe


def _dismiss(process: subprocess.Popen[str], owner_pid: int) -> None:
    if os.getpid() == owner_pid and process.stdin is not None:
        process.stdin.close()
        process.wait()


def _let_go_in_child() -> None:
    # A forked child would hold the pipe open after our death, and keep the services alive.
    global _pipe, _lock
    if _pipe is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _pipe.fileno(), inheritable=False)
        os.close(nowhere)
    _pipe, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_let_go_in_child)
