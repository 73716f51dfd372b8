"""The subscriber's table of people."""

from __future__ import annotations

from django.db import connections

from testproject.mirror.models import PersonCopy


def forget_copies() -> None:
    """Begin with empty tables."""
    with connections["subscriber"].cursor() as cursor:
        cursor.execute("TRUNCATE mirror_personcopy, logpipe_signals_appliedsequence")


def count_copies() -> int:
    """Return how many people were copied."""
    return PersonCopy.objects.count()
