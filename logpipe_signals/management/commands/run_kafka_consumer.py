"""`manage.py run_kafka_consumer`: django-logpipe's name for `run_consumer`."""

from __future__ import annotations

from typing import Any

from logpipe_signals.conf import settings
from logpipe_signals.management.commands import run_consumer

KAFKA_BACKENDS = (".kafka.", ".confluent.")

__all__ = ["Command"]


class Command(run_consumer.Command):
    """Does the same; where the log is no Kafka it says so first."""

    def handle(self, *args: Any, **options: Any) -> None:
        backend = settings.CONSUMER_BACKEND
        if not any(name in backend for name in KAFKA_BACKENDS):
            self.stderr.write(
                f"LOGPIPE['CONSUMER_BACKEND'] is {backend}, which is no Kafka. Call manage.py run_consumer instead: "
                "it is the same command for every log. Going on."
            )
        super().handle(*args, **options)
