"""From claimed outbox rows to a batch of messages, publication by publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from django.db import InterfaceError, OperationalError

from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, LeaseLost
from logpipe_signals.models import Source
from logpipe_signals.publishing.changes import ChangeBatch
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.messages import Batch
from logpipe_signals.publishing.state import StateBatch
from logpipe_signals.publishing.wire import Wire
from logpipe_signals.registry import publications

NOT_OF_A_ROW = (BackendUnavailable, LeaseLost, InterfaceError, OperationalError)
"""What says nothing about any row: the log, the lanes or the database have to be waited for."""


def prepare(
    rows: Sequence[ClaimedRow], using: str, *, headers_supported: bool, progressed: Callable[[], None] = lambda: None
) -> Batch:
    """
    Make the messages of claimed rows, in the order of their latest changes.

    The sequence is drawn first: after the claim, before any row's state is read.

    Args:
        progressed: Called between steps, so that leases can be renewed while much is serialised.
    """
    batch = Batch()
    source, sequence = Source.objects.draw_sequence(using)
    wire = Wire(
        source=source,
        sequence=sequence,
        format_code=settings.DEFAULT_FORMAT,
        producer=settings.PRODUCER_ID,
        headers_supported=headers_supported,
    )
    for name, own in _by_publication(rows).items():
        publication = publications[name]
        kind = ChangeBatch if publication.options.payload == "change" else StateBatch
        _prepare_some(kind(publication, using, wire), own, batch, progressed)
    batch.outgoing.sort(key=lambda outgoing: outgoing.order)
    return batch


def _prepare_some(
    kind: ChangeBatch | StateBatch, intents: Sequence[ClaimedRow], batch: Batch, progressed: Callable[[], None]
) -> None:
    """Prepare rows of one publication; where one of them makes the project's code raise, find it by halves."""
    found = Batch()
    try:
        kind.prepare(intents, found, progressed)
    except NOT_OF_A_ROW:
        raise
    except Exception as error:  # noqa: BLE001  (filters, fields and prefetches of the project may raise anything)
        rows = list(_by_row(intents).values())
        if len(rows) == 1:
            batch.outgoing += kind.make.failures(intents[0].object_id, intents, error)
            return
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            _prepare_some(kind, list(chain.from_iterable(half)), batch, progressed)
    else:
        batch.add(found)


def _by_row(intents: Sequence[ClaimedRow]) -> dict[str, list[ClaimedRow]]:
    found: dict[str, list[ClaimedRow]] = {}
    for intent in intents:
        found.setdefault(intent.object_id, []).append(intent)
    return found


def _by_publication(rows: Sequence[ClaimedRow]) -> dict[str, list[ClaimedRow]]:
    found: dict[str, list[ClaimedRow]] = {}
    for row in rows:
        found.setdefault(row.publication, []).append(row)
    return found
