"""Free ports, and who listens on them."""

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

_LOWEST = 15_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_POLL_SECONDS = 0.05


def free_port() -> int:
    """
    A port on which nobody listens now.

    Taken from below the ephemeral range: a client that tries again and again to reach a service that is down could
    otherwise be given the very port as its own, connect to itself, and keep the service from coming back.
    """
    highest = _ephemeral_start() - 1
    while True:
        port = random.randint(_LOWEST, highest)
        if is_free(port):
            return port


def free_ports(count: int) -> list[int]:
    """So many different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def is_free(port: int) -> bool:
    """Whether a service could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def accepts_connections(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Ask until the condition holds; False when it did not within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return start if start > _LOWEST + 1_000 else 32_768
