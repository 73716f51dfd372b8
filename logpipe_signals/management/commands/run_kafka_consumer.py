"""`manage.py run_kafka_consumer`: django-logpipe's name for `run_consumer`."""

from logpipe_signals.management.commands.run_consumer import Command

__all__ = ["Command"]
