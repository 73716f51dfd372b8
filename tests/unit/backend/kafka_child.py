"""
A process that submits a batch and is frozen with all of it still in its client's queue.

    python -m tests.unit.backend.kafka_child BACKEND SERVERS TOPIC COUNT TIMEOUT_SECONDS

It prints how many messages were acknowledged and how many came back as errors.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import django
from django.conf import settings

LINGER_MS = 700
"""The client holds the batch for this long, so that none of it is on the wire when the process freezes."""


def main(backend: str, servers: str, topic: str, count: str, timeout_seconds: str) -> None:
    """Warm the client up, submit, freeze, and report after the thaw."""
    from logpipe_signals.backend.base import Message

    settings.LOGPIPE = {
        "KAFKA_BOOTSTRAP_SERVERS": [servers],
        "KAFKA_PRODUCER_KWARGS": {"linger_ms": LINGER_MS},
    }
    producer = importlib.import_module(f"logpipe_signals.backend.{backend}").Producer()
    timeout = float(timeout_seconds)
    producer.submit([Message(topic=topic, key="warm", value=b"up")], timeout_seconds=timeout).wait(timeout)
    messages = [Message(topic=topic, key="joe", value=b"%d" % number) for number in range(int(count))]
    delivery = producer.submit(messages, timeout_seconds=timeout)
    os.kill(os.getpid(), signal.SIGSTOP)
    outcomes = delivery.wait(timeout)
    failed = sum(outcome.error is not None for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes) - failed} {failed}\n")


if __name__ == "__main__":
    settings.configure(INSTALLED_APPS=[])
    django.setup()
    main(*sys.argv[1:])
