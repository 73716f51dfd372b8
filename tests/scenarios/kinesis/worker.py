"""
A worker: `python -m tests.scenarios.kinesis.worker [arguments of run_consumer]`.

What it applies it notes, with the record's place and bytes, in the transaction of the row.
"""

from __future__ import annotations

import sys
from typing import Any

import django
from django.core.management import call_command
from django.db import connections

NOTE = "INSERT INTO scenario_applied (shard, number, key, value) VALUES (%s, %s, %s, %s)"


def note_what_is_applied() -> None:
    """Put the note into the package's own way of applying a record."""
    from logpipe_signals.consuming import work

    apply_record = work.apply_record

    def noted(incoming: Any) -> Any:
        record = incoming.record
        with connections["subscriber"].cursor() as cursor:
            cursor.execute(NOTE, [record.partition, record.offset, record.key_text, record.value])
        return apply_record(incoming)

    work.apply_record = noted


def subscribe() -> None:
    """Listen to people only, and take the empty names that the writers write."""
    from logpipe_signals.registry import subscriptions
    from testproject.mirror.serializers import PersonCopySerializer

    class AsWritten(PersonCopySerializer):
        class Meta(PersonCopySerializer.Meta):
            as_sent = {"trim_whitespace": False, "allow_blank": True}
            extra_kwargs = {"first_name": as_sent, "last_name": as_sent}

    subscriptions.clear()
    subscriptions.subscribe("people", AsWritten)


def main() -> None:
    """Run the consumer."""
    django.setup()
    subscribe()
    note_what_is_applied()
    call_command("run_consumer", *sys.argv[1:])


if __name__ == "__main__":
    main()
