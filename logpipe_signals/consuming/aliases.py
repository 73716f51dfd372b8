"""Rows and positions move in one transaction, and so on one database alias: where they do not, somebody is told."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import router

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.consuming.kinds import model_of
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.registry import SerializerClass

logger = logging.getLogger(__name__)


def rows_and_positions_apart(serializer_class: SerializerClass) -> tuple[str, str] | None:
    """Return the aliases of a serializer's rows and of the positions, where they differ."""
    model = model_of(serializer_class)
    if model is None:
        return None
    try:
        store = get_offset_backend()
    except (ImportError, LogPipeError):
        return None  # What is wrong with the backend's name or package is said by a check of its own.
    rows, positions = router.db_for_write(model), store.alias()
    return (rows, positions) if store.supports_transactions and rows != positions else None


def warn_of_rows_apart(serializer_classes: Iterable[SerializerClass]) -> None:
    """Say so in the log as well: consumers that are built when they run are not seen by system checks."""
    for serializer_class in serializer_classes:
        if (aliases := rows_and_positions_apart(serializer_class)) is not None:
            logger.error(
                "%s writes on database %r, the positions are on %r: a crash between the two loses or repeats records. "
                "Set LOGPIPE['CONSUMER_DATABASE'], or route both to one database.",
                serializer_class.__name__,
                *aliases,
            )
