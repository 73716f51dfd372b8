"""What this process counts of its own work: receivers of the public signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.dispatch import Signal
from prometheus_client import REGISTRY, Counter, Histogram

from logpipe_signals import signals
from logpipe_signals.metrics.catalogue import COUNTED
from logpipe_signals.metrics.collector import SightCollector

UNKNOWN = "unknown"
_made: dict[str, Any] = {}


def install() -> None:
    """Make the metrics and connect them, the first time it is called."""
    if _made:
        return
    for metric in COUNTED:
        if metric.kind == "counter":
            _made[metric.name] = Counter(metric.name, metric.text, metric.labels)
        else:
            _made[metric.name] = Histogram(metric.name, metric.text, metric.labels, buckets=metric.buckets)
    REGISTRY.register(SightCollector())
    for signal, receiver in _RECEIVERS.items():
        signal.connect(receiver, dispatch_uid="logpipe_signals.metrics")


def _count(name: str, *labels: str, by: float = 1) -> None:
    _made[f"logpipe_{name}"].labels(*labels).inc(by)


def _observe(name: str, label: str, *values: float) -> None:
    histogram = _made[f"logpipe_{name}"].labels(label)
    for value in values:
        histogram.observe(value)


def _relayed(alias: str, sent: int, seconds: float, **values: Any) -> None:
    for (topic, message_type), count in values["sent_by_type"].items():
        _count("messages_sent", topic, message_type, by=count)
    for topic, latencies in values["latencies_seconds"].items():
        _observe("publish_latency_seconds", topic, *latencies)
    if sent:
        _observe("relay_batch_messages", alias, sent)
        _observe("relay_settle_seconds", alias, seconds)


def _send_failed(topic: str, *, permanent: bool, **_: Any) -> None:
    _count("send_failures", topic, "set_aside" if permanent else "retried")


def _batch_applied(topic: str, seconds: float, **values: Any) -> None:
    for message_type, count in values["applied_by_type"].items():
        _count("messages_applied", topic, message_type, by=count)
    _observe("apply_latency_seconds", topic, *values["latencies_seconds"])
    _observe("apply_batch_records", topic, sum(values[each] for each in ("applied", "failed", "dropped", "parked")))
    _observe("apply_batch_seconds", topic, seconds)


def _failed(sender: Any, record: Any, **_: Any) -> None:
    _count("messages_failed", record.topic, _type_of(sender))


def _dropped(sender: Any, record: Any, **_: Any) -> None:
    _count("messages_stale", record.topic, _type_of(sender))


def _parked(sender: Any, record: Any, **_: Any) -> None:
    _count("messages_parked", record.topic, _type_of(sender))


def _type_of(serializer_class: Any) -> str:
    """Return a type that this project declared; one that only a message names could be anything."""
    return str(getattr(serializer_class, "MESSAGE_TYPE", UNKNOWN))


def _added(side: str, topic: str, count: int, **_: Any) -> None:
    _count("dead_letters_added", side, topic, by=count)


def _closed(side: str, topic: str, state: str, count: int, **_: Any) -> None:
    _count("dead_letters_closed", side, topic, state, by=count)


def _lost(side: str, **_: Any) -> None:
    _count("log_losses", side)


def _gap(topic: str, **_: Any) -> None:
    _count("gaps", topic)


_RECEIVERS: dict[Signal, Callable[..., None]] = {
    signals.batch_relayed: _relayed,
    signals.send_failed: _send_failed,
    signals.batch_applied: _batch_applied,
    signals.message_failed: _failed,
    signals.message_dropped: _dropped,
    signals.message_parked: _parked,
    signals.dead_letters_added: _added,
    signals.dead_letters_closed: _closed,
    signals.log_lost: _lost,
    signals.gap_found: _gap,
}
