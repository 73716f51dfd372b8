"""Where to look: which databases have which tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connections, models, router
from django.utils import timezone

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.models import OutboxRow, Source
from logpipe_signals.models.expressions import DatabaseNow


def databases() -> list[str]:
    """Return the aliases that have this package's tables."""
    return having(OutboxRow)


def having(model: type[models.Model]) -> list[str]:
    """Return the aliases that have a model's table."""
    return [alias for alias in connections if router.allow_migrate_model(alias, model)]


def consuming_database() -> str:
    """Return the alias that keeps positions."""
    return get_offset_backend().alias()


def now_of(using: str) -> datetime:
    """Return the time by a database's clock, as its rows have it; before there is any row to ask by, this machine's."""
    found: Any = Source.objects.using(using).annotate(now=DatabaseNow()).values_list("now", flat=True).first()
    return found or timezone.now()
