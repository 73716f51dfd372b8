"""save() of a published row inside atomic(), against one that nobody publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks.figures import Figure
from benchmarks.models import PlainPerson
from benchmarks.stage import Stage
from testproject.people.models import Person


def measure(stage: Stage) -> Iterator[Figure]:
    """Count the statements of both."""
    published, plain = _statements_of_save(Person), _statements_of_save(PlainPerson)
    yield Figure(
        issue=4,
        what="save() of a published row inside atomic(): statements over a plain save()",
        ours=str(published),
        peer=str(plain),
        value=published - plain,
        bound=1,
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
