"""
Apache Kafka through confluent-kafka (librdkafka), the fast client. Extra `[confluent]`.

It takes the same settings as `backend.kafka`, under kafka-python's names or librdkafka's own dotted ones, puts keys on
the partitions where kafka-python puts them, and shares its stored positions, so a project can change from one to the
other and back.

What a batch promises when its time is up: librdkafka gives each message up by then by itself (`message.timeout.ms`, by
a clock that a frozen process cannot hold), and what it still holds is purged. What had left this machine before may
still be appended by a broker that was itself held up: for that there is the sequence each message carries, or
`KAFKA_FENCING="transactions"`.
"""

from logpipe_signals.backend import offsets
from logpipe_signals.backend.confluent.consumer import Consumer
from logpipe_signals.backend.confluent.producer import Producer

__all__ = ["Consumer", "ModelOffsetStore", "Producer"]


class ModelOffsetStore(offsets.ModelOffsetStore):
    """Positions in the project's database, the same ones as `backend.kafka` keeps."""

    log = "kafka"
