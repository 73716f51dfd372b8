"""The hand-written serial loop: claim, in_bulk, many=True, render, produce, flush, delete."""

from __future__ import annotations

import time

from confluent_kafka import Producer
from rest_framework.renderers import JSONRenderer

from benchmarks.publishing.backlog import TOPIC, wait_in_outbox
from logpipe_signals.models import OutboxRow
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer

BATCH_SIZE = 500


def drained_per_second(rows: int, producer: Producer) -> float:
    """Drain a backlog with it, and return how many rows that were a second."""
    wait_in_outbox(rows)
    started = time.perf_counter()
    sent = 0
    while batch := _relay_batch(producer):
        sent += batch
    seconds = time.perf_counter() - started
    assert sent == rows, sent
    return rows / seconds


def _relay_batch(producer: Producer) -> int:
    claimed = list(OutboxRow.objects.order_by("id").values_list("id", "object_id")[:BATCH_SIZE])
    if not claimed:
        return 0
    people = Person.objects.in_bulk([int(object_id) for _, object_id in claimed])
    for data in PersonSerializer(list(people.values()), many=True).data:
        body = {"type": "person", "version": 1, "message": data}
        producer.produce(TOPIC, key=data["uuid"], value=b"json:" + JSONRenderer().render(body), on_delivery=_delivered)
    producer.flush()
    OutboxRow.objects.filter(pk__in=[row_id for row_id, _ in claimed]).delete()
    return len(claimed)


def _delivered(error: object, message: object) -> None:
    assert error is None, error
