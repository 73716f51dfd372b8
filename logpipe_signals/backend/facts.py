"""What a log tells of a topic, for the checks of a deployment to judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TopicFacts:
    """
    A topic, as its log describes it. None: this log has no such thing, or does not tell.

    partitions:        0: the topic is not there.
    makes_topics:      The log makes a missing one when it is first sent to, with numbers of its own.
    creation:          How somebody makes it, in a line.
    retention_seconds: How long records stay; infinite where nothing is removed.
    compacts:          Of the records of one key the log keeps the newest only.
    deletes:           Records are removed by age or size.
    replicas:          The fewest copies that a partition has.
    least_in_sync:     How many copies an acknowledged record is on at least.
    largest_bytes:     The largest record, or batch of records, that the topic takes.
    sent_bytes:        The largest that this process's producer would send.
    """

    partitions: int
    makes_topics: bool = False
    creation: str = ""
    retention_seconds: float | None = None
    compacts: bool | None = None
    deletes: bool | None = None
    replicas: int | None = None
    least_in_sync: int | None = None
    largest_bytes: int | None = None
    sent_bytes: int | None = None


def kafkas_facts(
    values: dict[str, str], *, partitions: int, replicas: int | None, makes_topics: bool, topic: str, sent_bytes: int
) -> TopicFacts:
    """Return what Kafka's configuration of a topic says; `values` is empty where it may not be read."""
    policies = {each.strip() for each in values.get("cleanup.policy", "").split(",")} - {""}
    milliseconds = _number(values, "retention.ms")
    by_size = (_number(values, "retention.bytes") or -1) >= 0
    keeps_all = "delete" not in policies or milliseconds == -1
    retention_seconds = None if milliseconds is None else float("inf") if keeps_all else milliseconds / 1000
    return TopicFacts(
        partitions=partitions,
        makes_topics=makes_topics,
        creation=f"kafka-topics.sh --bootstrap-server BROKER --create --topic {topic} --partitions 12 "
        "--replication-factor 3 --config min.insync.replicas=2",
        retention_seconds=retention_seconds,
        compacts="compact" in policies if policies else None,
        deletes=("delete" in policies and (by_size or not keeps_all)) if policies else None,
        replicas=replicas,
        least_in_sync=_number(values, "min.insync.replicas"),
        largest_bytes=_number(values, "max.message.bytes"),
        sent_bytes=sent_bytes,
    )


def _number(values: dict[str, str], name: str) -> int | None:
    return int(values[name]) if name in values else None
