"""
A backfill of all cities beside a writer, its process killed twice and another going on each time.

Afterwards the topic is read from where it ended before: every city has to be there, each city's messages have to grow
with its population, which the writer only raises, and the last one has to say what the table says.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import pythons
from benchmarks.figures import Figure, per_second
from benchmarks.publishing.backfill import CITIES, MEGABYTES, have_cities
from benchmarks.stage import Stage

LEASE_SECONDS = 5
LOOK_SECONDS = 0.05
KILLED_AT = (1 / 3, 2 / 3)


def measure(stage: Stage) -> Iterator[Figure]:
    """Backfill, kill, go on, kill, go on; then read what the log has."""
    from benchmarks.backends import through
    from benchmarks.publishing.backlog import wait_in_outbox
    from logpipe_signals.publishing import backfills
    from testproject.places.models import City

    have_cities(stage.options.cities)
    wait_in_outbox(0)
    before = _ends(stage.bootstrap_servers)
    with through("confluent", RELAY="worker"), _Writer() as writer:
        job = backfills.start(CITIES)
        started = time.perf_counter()
        megabytes = max(_killed(job.pk, job_share) for job_share in KILLED_AT)
        with pythons.running(__name__, job.pk) as last:
            megabytes = max(megabytes, last.report()["megabytes"])
        seconds = time.perf_counter() - started
        writer.stop()
        with pythons.running("benchmarks.publishing.ours", "confluent") as relay:
            relay.ask(rows=_waiting(), using="default")
    seen = _read(stage.bootstrap_servers, before)
    now = dict(City.objects.values_list("geoname_id", "population"))
    wrong = sum(seen.last.get(number) != population for number, population in now.items())
    yield Figure(
        issue=7,
        what=f"{len(now):,} cities beside a writer, killed twice: rows lost, taken back, or not as the table",
        ours=f"{wrong + seen.regressed}; {writer.written:,} live, {seen.messages:,} messages in {seconds:.0f} s, "
        f"{per_second(len(now) / seconds)}",
        value=wrong + seen.regressed,
        bound=0,
        at_most=True,
    )
    yield Figure(
        issue=7,
        what="peak memory of its three processes, megabytes",
        ours=f"{megabytes:.0f} MB",
        value=megabytes,
        bound=MEGABYTES,
        at_most=True,
    )


def _killed(job: int, share: float) -> float:
    """Run the job until it is so far, kill it, and return the megabytes that the process took."""
    from logpipe_signals.models import Backfill

    with pythons.running(__name__, job) as runner:
        while True:
            state = Backfill.objects.get(pk=job)
            if state.rows_done >= share * (state.rows_total or sys.maxsize):
                break
            time.sleep(LOOK_SECONDS)
        megabytes = pythons.peak_megabytes(runner.pid)
        runner.kill()
    return megabytes


def _waiting() -> int:
    from logpipe_signals.models import OutboxRow

    return OutboxRow.objects.count()


# --- the writer -------------------------------------------------------------------------------------------------------


class _Writer(threading.Thread):
    """Raises one city's population after the other's, a few a second, on a connection of its own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        from django.db import connection
        from django.db.models import F

        from testproject.places.models import City

        keys = list(City.objects.values_list("pk", flat=True))
        while not self._stopped.wait(random.uniform(0, 0.02)):
            self.written += City.objects.filter(pk=random.choice(keys)).update(population=F("population") + 1)
        connection.close()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._stopped.set()
        self.join()

    def __enter__(self) -> _Writer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


# --- what the log has -------------------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """Each city's population as last told, and how often one went back."""

    last: dict[int, int] = field(default_factory=dict)
    regressed: int = 0
    messages: int = 0

    def take(self, city: Mapping[str, Any]) -> None:
        number, population = city["geoname_id"], city["population"]
        self.regressed += population < self.last.get(number, 0)
        self.last[number] = population
        self.messages += 1


def _ends(servers: str) -> dict[int, int]:
    """Return where each partition of the topic ends."""
    from confluent_kafka import TopicPartition

    consumer = _consumer(servers)
    found = consumer.list_topics("cities", 10).topics["cities"].partitions
    ends = {number: consumer.get_watermark_offsets(TopicPartition("cities", number))[1] for number in found}
    consumer.close()
    return {number: max(0, end) for number, end in ends.items()}


def _read(servers: str, since: Mapping[int, int]) -> _Seen:
    from confluent_kafka import TopicPartition

    seen, ends = _Seen(), _ends(servers)
    consumer = _consumer(servers)
    consumer.assign([TopicPartition("cities", number, since.get(number, 0)) for number in ends])
    left = sum(end - since.get(number, 0) for number, end in ends.items())
    while left:
        for message in consumer.consume(min(left, 1000), 30):
            seen.take(json.loads((message.value() or b"").removeprefix(b"json:"))["message"])
            left -= 1
    consumer.close()
    return seen


def _consumer(servers: str) -> Any:
    from confluent_kafka import Consumer

    return Consumer({"bootstrap.servers": servers, "group.id": "looks", "enable.auto.commit": False})


# --- the process that backfills ---------------------------------------------------------------------------------------


def main(job: str) -> None:
    """Go on with a job as soon as nobody holds it."""
    import django

    django.setup()
    from benchmarks.backends import through
    from logpipe_signals.models import Backfill
    from logpipe_signals.publishing.backfills.foreground import Foreground
    from logpipe_signals.publishing.lanes import relay_id

    with through("confluent", LEASE_SECONDS=LEASE_SECONDS):
        Foreground([Backfill.objects.get(pk=job)], owner=relay_id()).run()
    pythons.tell(megabytes=pythons.peak_megabytes())


if __name__ == "__main__":
    main(sys.argv[1])
