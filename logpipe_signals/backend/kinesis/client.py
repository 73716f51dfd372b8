"""One boto3 client for a process and its settings: shared by threads, made anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis.errors import SERVICE_ERRORS, TimeIsUp, unavailable
from logpipe_signals.conf import settings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

DEFAULT_REGION = "us-east-1"
CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
CONNECTIONS = 16


def region() -> str:
    """Return the AWS region: the setting, else what boto3's own chain says, else django-logpipe's default."""
    return settings.KINESIS_REGION or _region_of_the_chain() or DEFAULT_REGION


def shared_client() -> KinesisClient:
    """
    Return this process's client for the settings of now, making it the first time.

    Raises:
        BackendUnavailable: boto3 cannot make one.
    """
    fingerprint = (region(), settings.KINESIS_ENDPOINT_URL)
    with _clients.lock:
        client = _clients.by_settings.get(fingerprint)
        if client is None:
            client = _clients.by_settings[fingerprint] = _new_client(*fingerprint)
        return client


def close_clients() -> None:
    """Give up this process's clients; the next use makes new ones."""
    with _clients.lock:
        for client in _clients.by_settings.values():
            client.close()
        _clients.by_settings = {}


class Gate(threading.local):
    """Stands between this thread's puts and the network: once the time is up, none passes any more."""

    def __init__(self) -> None:
        self._deadline: Deadline | None = None
        self._spare_seconds = 0.0

    @contextmanager
    def until(self, deadline: Deadline, *, spare_seconds: float) -> Iterator[None]:
        """Let puts pass until so many seconds before a deadline: the time that connecting may take."""
        self._deadline, self._spare_seconds = deadline, spare_seconds
        try:
            yield
        finally:
            self._deadline = None

    def look(self, **_: Any) -> None:
        """
        Called by botocore right before a request goes to the network.

        Raises:
            TimeIsUp: It may not.
        """
        if self._deadline is not None and self._deadline.remaining_seconds <= self._spare_seconds:
            raise TimeIsUp("the batch's time was up before it was sent")


gate = Gate()


class _Clients:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_settings: dict[tuple[str, str], KinesisClient] = {}
        self.of_the_parent: list[KinesisClient] = []

    def start_anew_in_child(self) -> None:
        self.lock = threading.Lock()
        # Kept, not collected: closing them here would speak on the parent's connections.
        self.of_the_parent += self.by_settings.values()
        self.by_settings = {}


_clients = _Clients()
os.register_at_fork(after_in_child=_clients.start_anew_in_child)


def _new_client(region_name: str, endpoint_url: str) -> KinesisClient:
    # Retries are the sender's and the readers' own: a call inside the client knows no deadline and no order.
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    try:
        session = boto3.session.Session()
        client = session.client("kinesis", region_name=region_name, endpoint_url=endpoint_url or None, config=config)
    except (*SERVICE_ERRORS, ValueError) as error:
        raise unavailable("a first call; see KINESIS_REGION and KINESIS_ENDPOINT_URL", error) from error
    for operation in ("PutRecords", "PutRecord"):
        client.meta.events.register(f"before-send.kinesis.{operation}", gate.look)
    return client


@lru_cache(maxsize=1)
def _region_of_the_chain() -> str:
    return boto3.session.Session().region_name or ""
