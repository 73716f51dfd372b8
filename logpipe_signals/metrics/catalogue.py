"""
Every metric: its name, kind, labels and meaning. Code, docs, dashboard and alerts are held to this list.

Labels have few values: topics, types that this project's serializers declare, partitions, databases, groups. Never keys
or identities, and never a type that only somebody's message names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. A counter's samples end in `_total`, a histogram's in `_bucket`, `_sum` and `_count`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """Return the names that a query may use."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def _counter(name: str, labels: str, text: str) -> Metric:
    return Metric(name=f"logpipe_{name}", kind="counter", labels=tuple(labels.split()), text=text)


def _histogram(name: str, labels: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(name=f"logpipe_{name}", kind="histogram", labels=tuple(labels.split()), text=text, buckets=buckets)


def _gauge(name: str, labels: str, text: str) -> Metric:
    return Metric(name=f"logpipe_{name}", kind="gauge", labels=tuple(labels.split()), text=text)


COUNTED = (
    _counter("messages_sent", "topic type", "Messages that the log acknowledged."),
    _counter("send_failures", "topic outcome", "Rows that the log did not take; outcome: retried, set_aside."),
    _counter("messages_applied", "topic type", "Records applied."),
    _counter("messages_failed", "topic type", "Records not applied; type: unknown where none is declared."),
    _counter("messages_stale", "topic type", "Records dropped because something newer was applied before."),
    _counter("messages_parked", "topic type", "Records that wait behind an earlier one of their row that failed."),
    _counter("dead_letters_added", "side topic", "Dead letters made."),
    _counter("dead_letters_closed", "side topic outcome", "Dead letters closed: superseded, replayed, skipped."),
    _counter("log_losses", "side", "Times that the log could not be reached."),
    _counter("gaps", "topic", "Times that the log had dropped records before they were read."),
    _histogram("relay_batch_messages", "database", "Messages in a batch that was sent.", SIZES),
    _histogram("relay_settle_seconds", "database", "Time a batch waited for acknowledgements and was settled."),
    _histogram("publish_latency_seconds", "topic", "From a change's statement to the log's acknowledgement."),
    _histogram("apply_batch_records", "topic", "Records in a batch that was applied.", SIZES),
    _histogram("apply_batch_seconds", "topic", "Time to apply a batch."),
    _histogram("apply_latency_seconds", "topic", "From a record's timestamp on the log to its commit."),
)
"""What each process counts of its own work, by the public signals."""

SEEN = (
    _gauge("outbox_rows", "database publication priority", "Rows in the outbox; priority: live, backfill."),
    _gauge("outbox_retrying_rows", "database publication", "Rows in the outbox that wait for another try."),
    _gauge("outbox_oldest_change_age_seconds", "database publication", "Age of the oldest live change; 0: none waits."),
    _gauge("lanes", "database", "Lanes of a database."),
    _gauge("lanes_held", "database", "Lanes that somebody holds by lease."),
    _gauge("relays", "database state", "Relays by heartbeat; state: running, gone."),
    _gauge("relays_expected", "database", "1 where LOGPIPE['RELAY'] is 'worker' and the database publishes, else 0."),
    _gauge("consumers", "group state", "Consumers by heartbeat; state: running, gone."),
    _gauge("topic_consumers", "topic", "Running consumers of a topic that this project subscribes to."),
    _gauge("consumer_lag_records", "group topic partition", "Records a group has not applied; none on Kinesis."),
    _gauge("consumer_lag_seconds", "group topic partition", "Age of a group's next record; on Kinesis only."),
    _gauge("consumer_position_age_seconds", "group topic partition", "Time since a group's position moved."),
    _gauge("dead_letters", "database side topic state", "Dead letters that wait; state: open, parked."),
    _gauge("backfills", "database state", "Backfills; state: waiting, running, paused, failed."),
    _gauge("backfill_rows_left", "database publication", "Rows that running backfills have still to put in."),
    _gauge("audit_findings", "group topic kind", "Rows that differ by the newest audit; missing, extra, different."),
    _gauge("problems", "", "What could not be told at this scrape: a database or the log did not answer."),
)
"""What the databases and the log say at the moment of a scrape: the same in every process that is asked."""

METRICS = (*COUNTED, *SEEN)
