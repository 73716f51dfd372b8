"""
Why a guarded broker does not let a client in: Kafka's clients say no more than that nobody answered.

So the door is tried by hand, as far as TLS: what fails there is named, and what works leaves the credentials. Nothing
is said of the credentials themselves.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

PROBE_SECONDS = 0.5
REMEMBER_SECONDS = 30.0
PLAIN = "PLAINTEXT"


@dataclass(frozen=True, kw_only=True)
class Door:
    """How a client was told to reach the first of its brokers."""

    server: str
    protocol: str
    cafile: str | None
    checks_hostname: bool
    mechanism: str

    @classmethod
    def of(
        cls, *, servers: Any, protocol: Any, cafile: Any = None, checks_hostname: bool = True, mechanism: Any = ""
    ) -> Door:
        """Return the door that a client's settings lead to."""
        first = servers.split(",")[0] if isinstance(servers, str) else next(iter(servers), "")
        return cls(
            server=str(first).strip(),
            protocol=str(protocol or PLAIN).upper(),
            cafile=None if cafile is None else str(cafile),
            checks_hostname=checks_hostname,
            mechanism=str(mechanism or ""),
        )


_known: dict[Door, tuple[float, str]] = {}


def advice(door: Door) -> str:
    """Return what to look at where a guarded broker cannot be reached, with a blank before it; "" for an open one."""
    if door.protocol == PLAIN:
        return ""
    asked_at, known = _known.get(door, (0.0, ""))
    if not asked_at or time.monotonic() - asked_at > REMEMBER_SECONDS:
        _known.clear()
        known = _advice(door)
        _known[door] = (time.monotonic(), known)
    return f" {known}"


def _advice(door: Door) -> str:
    host, _, port = door.server.rpartition(":")
    try:
        context = ssl.create_default_context(cafile=door.cafile)
    except OSError:  # an SSLError is one
        return f"ssl_cafile of KAFKA_KWARGS is no readable file of certificates: {door.cafile}."
    context.check_hostname = door.checks_hostname
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS) as connection:
            if door.protocol.endswith("SSL"):
                with context.wrap_socket(connection, server_hostname=host.strip("[]")):
                    pass
    except ssl.SSLCertVerificationError as error:
        return (
            f"The certificate of {door.server} is not trusted ({error.verify_message}): name the authority that signed "
            "it in ssl_cafile of KAFKA_KWARGS."
        )
    except ssl.SSLError:
        return (
            f"{door.server} does not speak the TLS that security_protocol {door.protocol} of KAFKA_KWARGS asks for: "
            "see which protocol that listener has."
        )
    except (OSError, ValueError):
        return f"Nothing listens on {door.server}: see KAFKA_BOOTSTRAP_SERVERS."
    return _let_in(door)


def _let_in(door: Door) -> str:
    if door.protocol.startswith("SASL"):
        tls = " and its certificate is trusted" if door.protocol.endswith("SSL") else ""
        return (
            f"{door.server} answers{tls}, so it is likely that it refuses the credentials, or that the listener has "
            f"another protocol than {door.protocol}: see security_protocol, sasl_mechanism "
            f"({door.mechanism or 'none'}), sasl_plain_username and sasl_plain_password of KAFKA_KWARGS."
        )
    return (
        f"{door.server} answers, and its certificate is trusted; it may want credentials: security_protocol SASL_SSL."
    )
