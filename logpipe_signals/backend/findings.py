"""What both clients of Kafka find in the settings."""

from __future__ import annotations

from django.core import checks
from django.core.checks import CheckMessage


def passed_over(setting: str, name: str) -> CheckMessage:
    """Return that a client's option is one this package decides."""
    return checks.Warning(
        f"LOGPIPE[{setting!r}] has {name!r}, which is passed over: positions are kept with the rows, not by Kafka.",
        hint="Remove it. Where a group without positions begins, run_consumer --from says.",
        id="logpipe_signals.W101",
    )


def few_acknowledgements() -> CheckMessage:
    """Return that a message may be lost after it was acknowledged."""
    return checks.Warning(
        "The producer's acks are not 'all': a message that one broker acknowledged is lost with that broker, and its "
        "change has left the outbox.",
        hint="Remove acks from KAFKA_PRODUCER_KWARGS and KAFKA_KWARGS.",
        id="logpipe_signals.W102",
    )
