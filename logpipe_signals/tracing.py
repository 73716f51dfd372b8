"""
OpenTelemetry (extra `[opentelemetry]`): one trace from a save, through the outbox and the log, to the row it becomes.

The context of the span that is active when a change is captured is kept with the outbox row, as W3C's `traceparent`
and `tracestate`. The relay sends under it (`send people`), and the message carries the context of that span on, in
headers, or in the body's `meta` on logs without; the consumer applies under it (`process people`).

Nothing here imports OpenTelemetry. Where nobody in the process did, no span can be active, and nothing is done.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from logpipe_signals.conf import settings

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
Carrier = Mapping[str, str]
Span = Any

_SYSTEMS = {"kafka": "kafka", "confluent": "kafka", "kinesis": "aws_kinesis", "database": "logpipe_database"}


def api() -> Any:
    """Return OpenTelemetry's `trace` module if somebody imported it, else None."""
    return sys.modules.get("opentelemetry.trace")


def current() -> Carrier | None:
    """Return the context of the active span as headers; None where no span is active."""
    trace = api()
    return None if trace is None else carried_by(trace.get_current_span())


def carried_by(span: Span) -> Carrier | None:
    """Return a span's context as headers; None where it has none, as without an SDK."""
    if not span.get_span_context().is_valid:
        return None
    from opentelemetry.trace import set_span_in_context

    carrier: dict[str, str] = {}
    _propagator().inject(carrier, context=set_span_in_context(span))
    return carrier


def start(
    name: str, carrier: Carrier, *, kind: str, topic: str, links: Sequence[Carrier] = (), since: int | None = None
) -> Span:
    """
    Start a span under a context that travelled.

    Args:
        name: Messaging's operation: `send` or `process`.
        kind: The name of a `SpanKind`.
        links: Contexts that came together here.
        since: When it began, in nanoseconds since 1970; by default now.
    """
    trace = api()
    contexts = [trace.get_current_span(_extracted(each)).get_span_context() for each in links]
    backend = settings.PRODUCER_BACKEND if name == "send" else settings.CONSUMER_BACKEND
    system = backend.rpartition(".")[0].rpartition(".")[2]
    return trace.get_tracer("logpipe_signals").start_span(
        f"{name} {topic}",
        context=_extracted(carrier),
        kind=getattr(trace.SpanKind, kind),
        links=[trace.Link(context) for context in contexts if context.is_valid],
        start_time=since,
        attributes={
            "messaging.system": _SYSTEMS.get(system, system),
            "messaging.operation.name": name,
            "messaging.operation.type": name,
            "messaging.destination.name": topic,
        },
    )


def end(span: Span, *, error: Exception | None = None, **attributes: Any) -> None:
    """End a span; of an error only its type is told. Attributes: `partition`, `offset`, `group`."""
    for name, value in attributes.items():
        if value not in (None, ""):
            span.set_attribute(_ATTRIBUTES[name], str(value))
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(api().Status(api().StatusCode.ERROR, type(error).__name__))
    span.end()


_ATTRIBUTES = {
    "partition": "messaging.destination.partition.id",
    "offset": "messaging.message.offset",
    "group": "messaging.consumer.group.name",
}


def _extracted(carrier: Carrier) -> Any:
    from opentelemetry.context import Context

    return _propagator().extract(carrier, context=Context())


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
