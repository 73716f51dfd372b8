"""The hand-written loop: poll, run_validation, bulk_create(update_conflicts), position, commit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, Message, TopicPartition
from django.db import transaction

from benchmarks.consuming.copies import count_copies, forget_copies
from benchmarks.stage import Stage
from logpipe_signals.models import Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer

BATCH_SIZE = 500
GROUP = "by hand"
COLUMNS = ["first_name", "last_name", "email"]


def applied_per_second(stage: Stage, topic: str, rows: int) -> float:
    """Apply so many records, and return how many that were a second."""
    forget_copies()
    consumer = Consumer({"bootstrap.servers": stage.bootstrap_servers, "group.id": GROUP, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    Offset.objects.using("subscriber").update_or_create(log="hand", group=GROUP, topic=topic, partition="0")
    serializer = _serializer()
    applied = len(_apply(consumer.consume(1, 30.0), serializer))
    started = time.perf_counter()
    while applied < rows:
        applied += len(_apply(consumer.consume(min(BATCH_SIZE, rows - applied), 30.0), serializer))
    seconds = time.perf_counter() - started
    consumer.close()
    assert count_copies() == rows, count_copies()
    return (rows - 1) / seconds


def _serializer() -> PersonCopySerializer:
    """Return one serializer for all records. That a row is there already is no error here."""
    serializer = PersonCopySerializer(data={})
    serializer.fields["uuid"].validators = []
    return serializer


def _apply(records: Sequence[Message], serializer: PersonCopySerializer) -> Sequence[Message]:
    people: dict[str, PersonCopy] = {}
    for record in records:
        assert record.error() is None, record.error()
        _, _, body = record.value().partition(b":")
        values = serializer.run_validation(json.loads(body)["message"])
        people[values["uuid"]] = PersonCopy(**values)
    with transaction.atomic(using="subscriber"):
        PersonCopy.objects.bulk_create(
            people.values(), update_conflicts=True, unique_fields=["uuid"], update_fields=COLUMNS
        )
        position = str(records[-1].offset() + 1)
        Offset.objects.using("subscriber").filter(log="hand", group=GROUP, topic=records[-1].topic()).update(
            position=position
        )
    return records
