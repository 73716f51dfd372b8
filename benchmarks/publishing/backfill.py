"""
A backfill of GeoNames' cities, each with its country nested and its tags: how fast, against what, in how much memory.

    backfill           all cities, by republish_all's runner in a process of its own; and some, against a plain drain
    backfill-overtaken how long a live change takes that is committed while a backfill runs
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import pythons
from benchmarks.figures import Figure, per_second
from benchmarks.pairs import in_turns
from benchmarks.publishing import ours
from benchmarks.stage import Stage

CITIES = "places.city:cities"
ROWS_A_SECOND = 8_000
SHARE_OF_DRAIN = 0.8
MEGABYTES = 200
OVERTAKEN_MILLISECONDS = 1_000


def measure(stage: Stage) -> Iterator[Figure]:
    """Backfill all cities once, and some of them in turns with a drain of the same rows."""
    have_cities(stage.options.cities)
    with pythons.running(__name__, "confluent") as process:
        whole = _backfilled(process)
        yield Figure(
            issue=7,
            what=f"backfill of {whole['rows']:,} cities, confluent, one process: rows a second",
            ours=per_second(whole["pace"]),
            value=whole["pace"],
            bound=ROWS_A_SECOND,
        )
        yield Figure(
            issue=7,
            what=f"peak memory of a backfill of {whole['rows']:,} cities, megabytes",
            ours=f"{whole['megabytes']:.0f} MB",
            value=whole["megabytes"],
            bound=MEGABYTES,
            at_most=True,
        )
        yield _against_drain(stage, process)


def overtaken(stage: Stage) -> Iterator[Figure]:
    """Save somebody now and then while a backfill keeps the relay of the same process busy."""
    from benchmarks.backends import through
    from benchmarks.publishing.latency import delay, figures

    have_cities(stage.options.cities)
    with through("confluent", RELAY="worker"), pythons.running(__name__, "confluent", "people") as process:
        process.report()
        delays = [delay(process) for _ in range(stage.options.saves // 2)]
    yield from figures("commit to broker acknowledgement, beside a backfill", 7, delays, OVERTAKEN_MILLISECONDS)


def have_cities(cities: int) -> None:
    """Load as many cities, where there are none."""
    from django.db import connection

    from testproject import geonames
    from testproject.places.models import City

    if not City.objects.exists():
        geonames.load(cities)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def _against_drain(stage: Stage, process: pythons.Other) -> Figure:
    rows = min(stage.options.rows, stage.options.cities)
    last = _last_of(rows)
    with pythons.running("benchmarks.publishing.ours", "confluent") as drain:
        found = in_turns(
            lambda: float(_backfilled(process, last=last)["pace"]),
            lambda: _drained(drain, rows, last),
            rounds=stage.options.pairs,
        )
    return Figure(
        issue=7,
        what=f"backfill of {rows:,} cities: against the relay's own drain of the same rows",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=SHARE_OF_DRAIN,
    )


def _backfilled(process: pythons.Other, last: int | None = None) -> dict[str, Any]:
    _empty_outbox()
    report = process.ask(last=last)
    return {**report, "pace": report["rows"] / report["seconds"]}


def _drained(process: pythons.Other, rows: int, last: int) -> float:
    from django.db import connection

    from logpipe_signals.models import OutboxRow
    from logpipe_signals.publishing import backfills
    from logpipe_signals.publishing.backfills.chunks import write_rows

    _empty_outbox()
    target = backfills.target(CITIES)
    write_rows(target, target.rows().filter(pk__lte=last))
    OutboxRow.objects.update(priority=0)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE logpipe_signals_outboxrow")
    return ours.drained_per_second(process, rows)


def _last_of(rows: int) -> int:
    from testproject.places.models import City

    return int(City.objects.order_by("pk").values_list("pk", flat=True)[rows - 1])


def _empty_outbox() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE logpipe_signals_outboxrow")


# --- the process that backfills ---------------------------------------------------------------------------------------


def _run(last: int | None = None, stop: threading.Event | None = None) -> dict[str, Any]:
    from logpipe_signals.publishing import backfills
    from logpipe_signals.publishing.backfills.foreground import Foreground
    from logpipe_signals.publishing.lanes import relay_id

    owner = relay_id()
    job = backfills.start(CITIES, where={} if last is None else {"pk__lte": last}, owner=owner)
    started = time.perf_counter()
    Foreground([job], owner=owner, stop=stop).run()
    seconds = time.perf_counter() - started
    return {"rows": job.rows_done, "seconds": seconds, "megabytes": pythons.peak_megabytes()}


def _run_for_ever() -> None:
    """Backfill again and again, and report each acknowledged message about a person."""
    from logpipe_signals.signals import message_sent

    def report(topic: str, **_: Any) -> None:
        if topic == "people":
            pythons.tell(at=time.time())

    message_sent.connect(report, weak=False)
    pythons.tell(ready=True)
    while True:
        _run()


def main(backend: str, *what: str) -> None:
    """Be the process that backfills."""
    import django

    django.setup()
    from benchmarks.backends import through

    with through(backend):
        _run_for_ever() if what else pythons.answer(_run)


if __name__ == "__main__":
    main(*sys.argv[1:])
