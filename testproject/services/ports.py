"""Ports, and waiting for what has to happen: the services of the package have them."""

from logpipe_signals.testing.services.ports import accepts_connections, free_port, free_ports, is_free, wait_until

__all__ = ["accepts_connections", "free_port", "free_ports", "is_free", "wait_until"]
