"""From claimed outbox rows to a batch of messages, publication by publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logpipe_signals.conf import settings
from logpipe_signals.models import Source
from logpipe_signals.publishing.changes import ChangeBatch
from logpipe_signals.publishing.claim import ClaimedRow
from logpipe_signals.publishing.messages import Batch, Wire
from logpipe_signals.publishing.state import StateBatch
from logpipe_signals.registry import publications


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
        kind(publication, using, wire).prepare(own, batch, progressed)
    batch.outgoing.sort(key=lambda outgoing: outgoing.order)
    return batch


def _by_publication(rows: Sequence[ClaimedRow]) -> dict[str, list[ClaimedRow]]:
    found: dict[str, list[ClaimedRow]] = {}
    for row in rows:
        found.setdefault(row.publication, []).append(row)
    return found
