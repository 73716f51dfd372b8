"""Drawing a page again and again on a terminal, until somebody presses q or Ctrl-C."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def watch(page: Callable[[], str], out: Any, *, seconds: float) -> None:
    """Draw a page every so many seconds. Where the output is no terminal, pages follow each other."""
    on_terminal = bool(getattr(out, "isatty", lambda: False)())
    try:
        with _other_screen(out, on_terminal=on_terminal), _single_keys() as keys:
            while True:
                text = page()
                out.write(_drawn(text, seconds) if on_terminal else text, ending="" if on_terminal else "\n")
                out.flush()
                if _quits(keys, seconds):
                    return
    except KeyboardInterrupt:
        return


def _drawn(text: str, seconds: float) -> str:
    lines = [*text.splitlines(), "", f"Again every {seconds:g} s. q ends it."]
    return HOME + "".join(f"{line}{CLEAR_LINE}\r\n" for line in lines) + CLEAR_BELOW


def _quits(keys: int | None, seconds: float) -> bool:
    """Wait, and tell whether q was pressed meanwhile; any other key draws at once."""
    if keys is None:
        time.sleep(seconds)
        return False
    readable, _, _ = select.select([keys], [], [], seconds)
    return bool(readable) and os.read(keys, 1) in (b"q", b"Q", b"")


@contextmanager
def _other_screen(out: Any, *, on_terminal: bool) -> Iterator[None]:
    if not on_terminal:
        yield
        return
    out.write(OTHER_SCREEN, ending="")
    try:
        yield
    finally:
        out.write(OWN_SCREEN, ending="")
        out.flush()


@contextmanager
def _single_keys() -> Iterator[int | None]:
    """Let keys arrive without Enter, where there is a keyboard; gives the descriptor they come from."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
