"""
The spans of records that are applied, under the contexts they carry.

User code runs under its record's span. The spans of a transaction end when it has committed; those of one that was
rolled back, and is tried again, are never told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from logpipe_signals import tracing
from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.incoming import Incoming
from logpipe_signals.consuming.reports import BatchReport
from logpipe_signals.tracing import TRACEPARENT, TRACESTATE, Carrier, Span

Apply = Callable[[Incoming], Any]


class _Open(threading.local):
    """The spans of the transaction that this thread has open."""

    def __init__(self) -> None:
        self.spans: dict[int, Span] = {}
        self.since = 0


_open = _Open()


def begin() -> None:
    """A transaction begins: what an earlier one left behind was rolled back."""
    if tracing.api() is not None:
        _open.spans = {}
        _open.since = time.time_ns()


def traced(apply: Apply) -> Apply:
    """Return what applies a record under the span of its message; where nobody traces, the same as before."""
    trace = tracing.api()
    if trace is None:
        return apply

    def apply_in_span(incoming: Incoming) -> Any:
        carrier = carrier_of(incoming.record, incoming.headers)
        if carrier is None:
            return apply(incoming)
        span = _start(incoming.record, carrier)
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            outcome = apply(incoming)
        _open.spans[id(incoming)] = span
        return outcome

    return apply_in_span


def committed(report: BatchReport, group: str) -> None:
    """End the spans of what was applied or set aside."""
    if tracing.api() is None:
        return
    for incoming, _ in report.applied:
        _end(incoming.record, incoming.headers, group, span=_open.spans.pop(id(incoming), None))
    for refused in report.failed:
        _end(refused.record, {}, group, error=refused.error)


def carrier_of(record: Record, further: Mapping[str, str]) -> Carrier | None:
    """Return the context that a record carries, in its headers or, on a log without any, in its body."""
    found = {name: value for name, value in record.headers if name in (TRACEPARENT, TRACESTATE)}
    carrier = {name: value.decode(errors="replace") for name, value in found.items()} or further
    return carrier if TRACEPARENT in carrier else None


def _end(
    record: Record, further: Mapping[str, str], group: str, *, span: Span = None, error: Exception | None = None
) -> None:
    if span is None:
        carrier = carrier_of(record, further)
        if carrier is None:
            return
        span = _start(record, carrier, since=_open.since or None)
    tracing.end(span, error=error, partition=record.partition, offset=record.offset, group=group)


def _start(record: Record, carrier: Carrier, since: int | None = None) -> Span:
    return tracing.start("process", carrier, kind="CONSUMER", topic=record.topic, since=since)
