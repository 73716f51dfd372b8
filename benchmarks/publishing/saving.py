"""One committed change."""

from __future__ import annotations

import time

from django.db import transaction

from testproject.people.models import Person


def saved_at() -> float:
    """Save somebody new and return when that was committed, before anybody is woken."""
    committed: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: committed.append(time.time()))
        Person.objects.create(first_name="Joe", last_name="Schmoe")
    return committed[0]
