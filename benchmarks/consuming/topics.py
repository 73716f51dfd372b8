"""Topics full of people, as a relay writes them or as django-logpipe does."""

from __future__ import annotations

from uuid import UUID, uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.stage import Stage
from logpipe_signals import formats
from logpipe_signals.envelope import Meta, body_of

FLUSH_ROWS = 10_000


def filled_topic(stage: Stage, rows: int, *, headers: bool, partitions: int = 1) -> str:
    """Make a topic with a record for each of so many people, and return its name."""
    topic = f"people-{uuid4().hex[:8]}"
    servers = {"bootstrap.servers": stage.bootstrap_servers}
    admin = AdminClient(servers)  # Whose futures fail once it is collected.
    admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result()
    producer = Producer({**servers, "linger.ms": 20, "queue.buffering.max.messages": 2 * FLUSH_ROWS})
    for number in range(rows):
        key = str(UUID(int=number))
        producer.produce(topic, key=key, value=_value(number, key), headers=_headers(number) if headers else None)
        if number % FLUSH_ROWS == 0:
            producer.flush()
    producer.flush()
    return topic


def _value(number: int, key: str) -> bytes:
    message = {
        "uuid": key,
        "first_name": f"Joséphine {number}",
        "last_name": f"Schmoe-{key}",
        "email": f"{number}@example.org",
    }
    return formats.render("json", body_of("person", 1, message))


def _headers(number: int) -> list[tuple[str, str | bytes | None]]:
    meta = Meta(identity=f"person:{number}", source="benchmark", sequence=number + 1, operation="upsert")
    return list(meta.as_headers())
