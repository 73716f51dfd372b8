"""Who works: running relays with the lanes they hold, running consumers with their partitions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.conf import settings
from logpipe_signals.models import Lease, Presence, Source
from logpipe_signals.models.expressions import DatabaseNow
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.models.presence import PresenceKind
from logpipe_signals.monitoring.places import consuming_database

GONE_AFTER_BEATS = 3


@dataclass(frozen=True, kw_only=True)
class Running:
    """
    A process that relays or consumes, by its own heartbeat.

    seen_seconds_ago: Since its last heartbeat, by the database's clock.
    is_gone:          It missed three heartbeats: killed, frozen, or cut off from the database.
    """

    using: str
    name: str
    host: str
    pid: int
    since: datetime
    seen_seconds_ago: float
    is_gone: bool


@dataclass(frozen=True, kw_only=True)
class RunningRelay(Running):
    """A relay, and the lanes that it holds by lease now."""

    lanes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RunningConsumer(Running):
    """A consumer, its topics, and the partitions that it held at its last heartbeat."""

    group: str
    topics: tuple[str, ...]
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, kw_only=True)
class LaneCover:
    """How many of a database's lanes are held now, and by how many owners; in inline mode only while somebody sends."""

    using: str
    lanes: int
    held: int
    owners: int


def relays(using: str = "default") -> list[RunningRelay]:
    """Return the relays of an alias's outbox, those that are gone too, for a day."""
    lanes = _lanes_by_owner(using)
    return [
        RunningRelay(**_common(row, using), lanes=tuple(sorted(lanes.get(row.name, ()))))
        for row in _presences(using, PresenceKind.RELAY)
    ]


def consumers(using: str | None = None) -> list[RunningConsumer]:
    """Return the consumers that keep their positions on an alias, those that are gone too, for a day."""
    using = using or consuming_database()
    return [
        RunningConsumer(
            **_common(row, using),
            group=row.group,
            topics=tuple(row.serves.get("topics", ())),
            partitions=tuple(TopicPartition(*each) for each in row.serves.get("partitions", ())),
        )
        for row in _presences(using, PresenceKind.CONSUMER)
    ]


def lanes(using: str = "default") -> LaneCover:
    """Return how the lanes of an alias are covered."""
    held = Lease.objects.using(using).of_kind(LeaseKind.LANE).held()
    found = held.aggregate(held=Count("pk"), owners=Count("owner", distinct=True))
    stored = Source.objects.using(using).filter(pk=1).values_list("lanes", flat=True).first()
    return LaneCover(using=using, lanes=stored or settings.LANES, **found)


def _presences(using: str, kind: str) -> list[Any]:
    rows = Presence.objects.using(using).of_kind(kind).annotate(now=DatabaseNow())
    return list(rows.order_by("started_at", "name"))


def _common(row: Any, using: str) -> dict[str, Any]:
    seen_seconds_ago = max(0.0, (row.now - row.seen_at).total_seconds())
    return {
        "using": using,
        "name": row.name,
        "host": row.host,
        "pid": row.pid,
        "since": row.started_at,
        "seen_seconds_ago": seen_seconds_ago,
        "is_gone": seen_seconds_ago > GONE_AFTER_BEATS * settings.HEARTBEAT_SECONDS,
    }


def _lanes_by_owner(using: str) -> dict[str, list[int]]:
    held = Lease.objects.using(using).of_kind(LeaseKind.LANE).held()
    found: dict[str, list[int]] = defaultdict(list)
    for owner, lane in held.values_list("owner", "number"):
        found[owner].append(int(lane or 0))
    return found
