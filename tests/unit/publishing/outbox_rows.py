"""What the tests of capture ask of the outbox."""

from __future__ import annotations

import json
from typing import Any

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing import showing
from logpipe_signals.registry import publications


def captured(using: str = "default") -> list[tuple[str, str, str]]:
    """Return (publication's topic, operation, object id) of every row, in the order written."""
    rows = OutboxRow.objects.using(using).order_by("pk")
    return [(row.publication.partition(":")[2], str(row.operation), row.object_id) for row in rows]


def topics(using: str = "default") -> list[str]:
    """Return the topics of every row, sorted."""
    return sorted(topic for topic, _, _ in captured(using))


def last(topic: str, using: str = "default") -> OutboxRow:
    """Return the last row for a topic."""
    return OutboxRow.objects.using(using).filter(publication__endswith=f":{topic}").latest("pk")


def payload_of(row: OutboxRow) -> Any:
    """Return a delete row's payload."""
    assert row.payload is not None
    return json.loads(bytes(row.payload))


def look_up_who_shows(using: str = "default") -> None:
    """Enqueue the rows that show what was changed, as the relay does after the commit."""
    for row in OutboxRow.objects.using(using).filter(operation="upsert", payload__isnull=False):
        showing.enqueue(publications[row.publication], using, [row.payload])
        OutboxRow.objects.using(using).filter(pk=row.pk).delete()


def forget() -> None:
    """Empty the outbox, so that a test sees its own write alone."""
    for using in ("default", "subscriber"):
        OutboxRow.objects.using(using).all()._raw_delete(using)
