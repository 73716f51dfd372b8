"""`QuerySet.update` of many published rows, against the plain update."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.db import connection

from benchmarks.figures import Figure, milliseconds
from benchmarks.models import PlainPerson
from benchmarks.pairs import in_turns
from benchmarks.publishing.backlog import have_people
from benchmarks.stage import Stage
from testproject.people.models import Person

ROUNDS = 3


def measure(stage: Stage) -> Iterator[Figure]:
    """Update the same number of rows of two tables of one shape, in turns."""
    rows = stage.options.update_rows
    for model in (Person, PlainPerson):
        have_people(rows, table=model._meta.db_table)
    found = in_turns(lambda: _seconds(Person, rows), lambda: _seconds(PlainPerson, rows), rounds=ROUNDS)
    yield Figure(
        issue=4,
        what=f"QuerySet.update of {rows:,} published rows: time over the plain update",
        ours=milliseconds(found.ours),
        peer=milliseconds(found.peer),
        value=found.ratio,
        bound=3,
        at_most=True,
    )


def _seconds(model: Any, rows: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE logpipe_signals_outboxrow")
        cursor.execute(f"VACUUM {model._meta.db_table}")
    last = model.objects.order_by("pk").values_list("pk", flat=True)[rows - 1]
    started = time.perf_counter()
    changed = model.objects.filter(pk__lte=last).update(first_name=f"Joe {started}")
    seconds = time.perf_counter() - started
    assert changed == rows, changed
    return seconds
