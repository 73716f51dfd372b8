"""The hand-written serial loop: claim, in_bulk, many=True, render, produce, flush, delete."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import pythons
from benchmarks.pairs import Side
from benchmarks.stage import Stage

if TYPE_CHECKING:
    from confluent_kafka import Producer

BATCH_SIZE = 500


@contextmanager
def by_hand(stage: Stage, rows: int) -> Iterator[Side]:
    """Yield a side that fills the outbox and drains it, and tells how many rows that were a second."""
    from benchmarks.publishing.backlog import wait_in_outbox

    with pythons.running(__name__, stage.bootstrap_servers) as process:

        def side() -> float:
            wait_in_outbox(rows)
            report = process.ask()
            assert report["sent"] == rows, report
            return float(rows / report["seconds"])

        yield side


def _drained(producer: Producer) -> dict[str, Any]:
    started = time.perf_counter()
    sent = 0
    while batch := _relay_batch(producer):
        sent += batch
    return {"sent": sent, "seconds": time.perf_counter() - started}


def _relay_batch(producer: Producer) -> int:
    from rest_framework.renderers import JSONRenderer

    from logpipe_signals.models import OutboxRow
    from testproject.people.models import Person
    from testproject.people.serializers import PersonSerializer

    claimed = list(OutboxRow.objects.order_by("id").values_list("id", "object_id")[:BATCH_SIZE])
    if not claimed:
        return 0
    people = Person.objects.in_bulk([int(object_id) for _, object_id in claimed])
    for data in PersonSerializer(list(people.values()), many=True).data:
        value = JSONRenderer().render({"type": "person", "version": 1, "message": data})
        producer.produce("people", key=data["uuid"], value=b"json:" + value, on_delivery=_delivered)
    producer.flush()
    OutboxRow.objects.filter(pk__in=[row_id for row_id, _ in claimed]).delete()
    return len(claimed)


def _delivered(error: object, message: object) -> None:
    assert error is None, error


def main(bootstrap_servers: str) -> None:
    """Be the loop's process."""
    import django
    from confluent_kafka import Producer

    django.setup()
    pythons.answer(partial(_drained, Producer({"bootstrap.servers": bootstrap_servers})))


if __name__ == "__main__":
    main(sys.argv[1])
