"""save() of a published row inside atomic(), against one that nobody publishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks.figures import Figure, milliseconds
from benchmarks.models import PlainPerson, TriggeredPerson
from benchmarks.pairs import in_turns
from benchmarks.stage import Stage
from testproject.people.models import Person

SAVES = 500
CAPTURES: dict[str, tuple[Any, float]] = {"signals": (Person, 1), "triggers": (TriggeredPerson, 0)}


def statements(stage: Stage) -> Iterator[Figure]:
    """Count the statements of both."""
    plain = _statements_of_save(PlainPerson)
    for capture, (model, bound) in CAPTURES.items():
        published = _statements_of_save(model)
        yield Figure(
            issue=4,
            what=f"save() inside atomic(), captured by {capture}: statements over a plain save()",
            ours=str(published),
            peer=str(plain),
            value=published - plain,
            bound=bound,
            at_most=True,
        )


def seconds(stage: Stage) -> Iterator[Figure]:
    """Time many saves in one transaction, in turns."""
    found = in_turns(
        lambda: _seconds_of_save(TriggeredPerson), lambda: _seconds_of_save(PlainPerson), rounds=stage.options.pairs
    )
    yield Figure(
        issue=4,
        what="save() inside atomic(), captured by triggers: time over a plain save()",
        ours=milliseconds(found.ours),
        peer=milliseconds(found.peer),
        value=found.ratio,
        bound=1.2,
        at_most=True,
    )


def _statements_of_save(model: Any) -> int:
    with transaction.atomic():
        person = model.objects.create(first_name="Joe", last_name="Schmoe")
        person.save()  # Whatever is looked up once a process is known from now on.
        with CaptureQueriesContext(connection) as captured:
            person.save()
        transaction.set_rollback(True)
    return len(captured)


def _seconds_of_save(model: Any) -> float:
    """Return the time of one save of many."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE logpipe_signals_outboxrow, {model._meta.db_table}")
    people = [model(first_name="Joe", last_name="Schmoe") for _ in range(SAVES)]
    with transaction.atomic():
        for person in people:
            person.save(force_insert=True)
        started = time.perf_counter()
        for person in people:
            person.save()
        return (time.perf_counter() - started) / SAVES
