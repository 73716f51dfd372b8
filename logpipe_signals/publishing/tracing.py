"""The spans of a batch that is sent: one a row, under the context its latest change was made in."""

from __future__ import annotations

from collections.abc import Sequence

from logpipe_signals import tracing
from logpipe_signals.backend.base import Sent
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.messages import Outgoing
from logpipe_signals.registry import publications
from logpipe_signals.tracing import Span

Spans = dict[tuple[str, str], Span]
"""By publication and primary key."""


def start_sending(rows: Sequence[ClaimedRow]) -> tuple[list[ClaimedRow], Spans]:
    """
    Start a span for each row whose changes were made in a trace, and let their messages carry its context on.

    Several changes of a row leave as one message: the latest one's context is the parent, the others are links.
    """
    if tracing.api() is None:
        return list(rows), {}
    changes: dict[tuple[str, str], list[ClaimedRow]] = {}
    for row in rows:
        if _context(row) is not None:
            changes.setdefault(row.row, []).append(row)
    spans = {row: _start(own) for row, own in changes.items()}
    return [_carrying(row, spans.get(row.row)) for row in rows], spans


def end_sending(spans: Spans, outgoing: Outgoing, outcomes: Sequence[Sent], error: Exception | None) -> None:
    """End the span of what was sent; what sent nothing has none that is told."""
    span = spans.pop((outgoing.publication.name, outgoing.object_id), None)
    if span is None:
        return
    place = next((outcome.metadata for outcome in outcomes if outcome.metadata is not None), None)
    _, partition, offset = place or ("", "", "")
    tracing.end(span, error=error, partition=partition, offset=offset)


def _start(changes: Sequence[ClaimedRow]) -> Span:
    *earlier, latest = sorted(changes)
    links = [context for row in earlier if (context := _context(row)) != _context(latest) and context]
    topic = publications[latest.publication].topic
    return tracing.start("send", _context(latest) or {}, kind="PRODUCER", topic=topic, links=links)


def _context(row: ClaimedRow) -> dict[str, str] | None:
    headers = row.headers or {}
    return headers if tracing.TRACEPARENT in headers else None


def _carrying(row: ClaimedRow, span: Span | None) -> ClaimedRow:
    carried = None if span is None else tracing.carried_by(span)
    return row if carried is None else row._replace(headers={**(row.headers or {}), **carried})
